"""Tab in bash and zsh, with memoctl's completion loaded and a memod to ask for names. What is offered
where is tests/client/completion_test.cc's."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import CALCULATE, ENVIRONMENT, MEMOCTL, SOON, Memod, adder
from terminal import Terminal

# Completes the words given and prints what bash would offer.
BASH = """
source <(memoctl completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { echo "compopt $*"; }
_memoctl memoctl
printf '%s\\n' "${COMPREPLY[@]}"
"""


class CompletionTest(unittest.TestCase):
    def setUp(self):
        self.memod = self.enterContext(Memod())
        self.client = self.enterContext(self.memod.client())
        self.session = self.client.open(adder())
        folder = pathlib.Path(MEMOCTL).resolve().parent
        self.environment = {
            **ENVIRONMENT,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "MEMOCTL_ADMIN": self.memod.admin_address,
        }

    def bash(self, *words, **environment):
        run = subprocess.run(
            ["bash", "-c", BASH, "bash", "memoctl", *words],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=SOON,
        )
        self.assertEqual(run.stderr, "")
        return run.stdout.split()

    def test_bash_offers_commands_options_and_values(self):
        self.assertIn("explain", self.bash(""))
        self.assertEqual(self.bash("cle"), ["clear"])
        self.assertEqual(self.bash("info", "--me"), ["--method"])
        self.assertEqual(self.bash("info", "--output", "=", "j"), ["json"])
        self.assertEqual(self.bash("watch", "inf"), ["info"])
        self.assertEqual(self.bash("completion", ""), ["bash", "zsh"])
        self.assertEqual(self.bash("call", "--session-file", ""), ["compopt", "-o", "default"])

    def test_names_come_from_the_server(self):
        self.assertEqual(self.bash("info", "--method", CALCULATE[:-4]), [CALCULATE])
        self.assertEqual(self.bash("call", CALCULATE[1:-4]), [CALCULATE[1:]])
        self.assertEqual(self.bash("close", ""), [self.session.id])
        self.assertEqual(self.bash("open", "memo.examples.v1.S"), ["memo.examples.v1.SlowAdderState"])
        here = ("--admin", self.memod.admin_address)
        nowhere = "127.0.0.1:1"
        self.assertEqual(self.bash(*here, "close", "", MEMOCTL_ADMIN=nowhere), [self.session.id])
        self.assertEqual(self.bash("close", "", MEMOCTL_ADMIN=nowhere), [])

    @staticmethod
    def wait_for_prompt(shell, prompt):
        """After "loaded": from then on the shell reads keys one by one."""
        shell.wait_for(
            "loaded, prompt",
            lambda lines: "loaded" in lines and [line for line in lines if line][-1] == prompt,
        )

    def test_tab_in_an_interactive_bash(self):
        environment = {**self.environment, "PS1": "$ ", "INPUTRC": "/dev/null"}
        command = ["bash", "--norc", "--noprofile", "-i"]
        with Terminal(command, columns=120, env=environment) as bash:
            bash.type("source <(memoctl completion bash); echo load''ed\n")
            self.wait_for_prompt(bash, "$")
            bash.type("memoctl info --met\tmemo.examples.v1.SlowAdder/Ca\t")
            bash.wait_for("memoctl info --method memo.examples.v1.SlowAdder/Calculate")

    def test_tab_in_an_interactive_zsh(self):
        home = self.enterContext(tempfile.TemporaryDirectory())
        # As installed: a file in a folder of fpath.
        with open(pathlib.Path(home, "_memoctl"), "w") as file:
            subprocess.run([MEMOCTL, "completion", "zsh"], stdout=file, check=True)
        for load in (
            f"fpath=({home} $fpath); compinit -u -D",
            "compinit -u -D; source <(memoctl completion zsh)",
        ):
            environment = {**self.environment, "HOME": home, "ZDOTDIR": home, "PS1": "%% "}
            with Terminal([shutil.which("zsh"), "-f", "-i"], columns=120, env=environment) as zsh:
                zsh.type(f"autoload -U compinit; {load}; echo load''ed\n")
                self.wait_for_prompt(zsh, "%")
                zsh.type("memoctl info --met\tmemo.examples.v1.SlowAdder/Ca\t")
                zsh.wait_for("memoctl info --method memo.examples.v1.SlowAdder/Calculate")
                zsh.type("\x15memoctl cl\t")
                zsh.wait_for("Drop what is remembered")  # clear and close, each with what it does


if __name__ == "__main__":
    unittest.main()
