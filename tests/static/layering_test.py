#!/usr/bin/env python3
"""Who may include whom (DESIGN.md, "Layout"). A grep, since every Debian header is in reach of all."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
# A definition, not within another class.
CLASS = re.compile(r"^(?:class|struct) (?:\[\[nodiscard\]\] )?(\w+)(?: final)?(?: : [^;]*)? \{", re.MULTILINE)

FOLDERS = {
    # folder: what of ours it may include besides itself
    "cache": (),
    "server": ("memod/cache/", "memo/"),
    "client": ("memo/",),
    "proto": (),
}
LIBRARIES = {
    # folder: libraries that it never includes
    "cache": ("grpc", "google/protobuf", "memo/", "spdlog", "CLI/", "toml"),
    "client": ("spdlog", "httplib", "toml"),
}
# Within server/: from the outermost to what it is built on. A file includes only what is below it.
SERVER_LAYERS = [
    {"memod"},
    {"main"},
    {"server"},
    {"call_service", "pipeline_answers", "pipeline_service", "pipeline_stream", "session_service", "session_stream", "admin_service", "admin_http", "gauges"},
    {"metrics"},
    {"admin", "cache_report", "calls_in_flight"},
    {"hosted_class", "call_context", "compute_pool"},
    {"dispatcher"},
    {"method_table", "method_traits", "compute_timeouts"},
]
NO_GRPCPP = ("dispatcher", "method_table", "hosted_class", "call_context", "compute_pool", "config", "logging",
             "call_key", "message_key", "message_text", "policy_check", "method_policies", "suggestion", "incarnator",
             "explain_key", "tls_files", "read_file", "config_listeners",
             "config_keys", "config_kinds", "config_sections", "config_toml")


def sources(folder):
    return [p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".h", ".cc")]


def includes(path):
    return INCLUDE.findall(path.read_text())


def layer(stem):
    return next((i for i, names in enumerate(SERVER_LAYERS) if stem in names), None)


class LayeringTest(unittest.TestCase):
    def test_folders_include_only_what_is_below_them(self):
        for folder, allowed in FOLDERS.items():
            files = sources(folder)
            self.assertTrue(files, folder)
            for path in files:
                for name in includes(path):
                    if name.startswith(("memod/", "memo/")):
                        own = f"memod/{folder}/"
                        generated = folder == "proto" and name.startswith("memo/")
                        self.assertTrue(
                            generated or name.startswith((own, *allowed)),
                            f"{path.relative_to(ROOT)} includes {name}",
                        )

    def test_folders_stay_clear_of_libraries(self):
        for folder, forbidden in LIBRARIES.items():
            for path in sources(folder):
                for name in includes(path):
                    self.assertFalse(
                        name.startswith(forbidden), f"{path.relative_to(ROOT)} includes {name}"
                    )

    def test_server_includes_go_one_way(self):
        for path in sources("server"):
            mine = layer(path.stem)
            if path.parent.name != "server" or mine is None:
                continue
            for name in includes(path):
                if not name.startswith("memod/server/"):
                    continue
                stem = pathlib.Path(name).stem
                theirs = layer(stem)
                if stem == path.stem or theirs is None or name.startswith("memod/server/examples/"):
                    continue
                self.assertGreaterEqual(
                    theirs, mine, f"{path.relative_to(ROOT)} includes {name}, which is above it"
                )

    def test_a_class_has_its_name_for_itself(self):
        # All are in the namespace memod, and a program may link all the libraries.
        defined = {}
        for folder in FOLDERS:
            for path in (ROOT / folder).glob("*.h"):
                for name in CLASS.findall(path.read_text()):
                    defined.setdefault(name, set()).add(folder)
        self.assertIn("Dispatcher", defined)
        self.assertEqual({n: f for n, f in defined.items() if len(f) > 1}, {})

    def test_the_request_path_knows_no_grpc(self):
        for stem in NO_GRPCPP:
            for path in (ROOT / "server").glob(f"{stem}.*"):
                for name in includes(path):
                    self.assertFalse(name.startswith("grpc"), f"{path.name} includes {name}")

    def test_top_level_is_what_the_design_fixes(self):
        folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}
        self.assertEqual(
            folders - {"build"}, {"proto", "server", "client", "cache", "deploy", "tests"}
        )


if __name__ == "__main__":
    unittest.main()
