"""The man pages: no formatter has anything to say about them, and they tell all that --help tells."""

import re
import subprocess
import unittest

from harness import BINARY_DIR, MEMOCTL, MEMOD

PAGES = ((MEMOD, BINARY_DIR / "deploy" / "memod.8"), (MEMOCTL, BINARY_DIR / "deploy" / "memoctl.1"))


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True)


def rendered(page):
    """As words, without line breaks, hyphenation or styles."""
    text = run("groff", "-man", "-ww", "-Tascii", "-P-cbou", "-rHY=0", "-rLL=1000n", str(page)).stdout
    return " ".join(text.split())


class ManPagesTest(unittest.TestCase):
    def test_formatters_have_nothing_to_say(self):
        for _, page in PAGES:
            groff = run("groff", "-man", "-ww", "-Tutf8", str(page))
            self.assertEqual(groff.stderr, "")
            mandoc = run("mandoc", "-Tlint", "-Wwarning", str(page))
            self.assertEqual(mandoc.stdout + mandoc.stderr, "")

    def test_pages_have_what_a_reader_looks_for(self):
        for _, page in PAGES:
            text = page.read_text()
            for title in ("NAME", "SYNOPSIS", "OPTIONS", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES"):
                self.assertIn(f".SH {title}\n", text)
            self.assertNotIn("@", re.sub(r"@(FILE|\w+\.\w+|tests\S*)", "", text))
        for title in ("CONFIGURATION", "FILES", "SIGNALS"):
            self.assertIn(f".SH {title}\n", PAGES[0][1].read_text())

    def test_pages_tell_every_option_and_command(self):
        for program, page in PAGES:
            text = rendered(page)
            help_text = run(program, "--help").stdout
            commands = re.search(r"Subcommands:\n((?:  .*\n)+)", help_text)[1].split("\n")
            names = [line.split()[0] for line in commands if line]
            self.assertTrue(names)
            for name in names:
                help_text += run(program, name, "--help").stdout
            options = set(re.findall(r"--[a-z][\w.-]*", help_text))
            self.assertIn("--help", options)
            for word in (*names, *options):
                self.assertIn(word, text)


if __name__ == "__main__":
    unittest.main()
