"""TLS as it is shipped: memod, memoctl, `memod healthcheck` and deploy/make-test-ca, openssl and
curl beside them. Which certificate is believed by whom is tests/server/tls_test.cc's."""

import json
import os
import pathlib
import re
import stat
import subprocess
import tempfile
import unittest
from concurrent import futures

import grpc

from harness import CALCULATE, ENVIRONMENT, MEMOCTL, MEMOD, SOON, SOURCE_DIR, Memod

ADDER = "memo.examples.v1.SlowAdderState"


def run(*command, environment=None):
    return subprocess.run(
        [str(each) for each in command],
        env={**ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SOON,
    )


def make_ca(folder, *names):
    return run(SOURCE_DIR / "deploy/make-test-ca", folder, *names)


class Ca:
    """What make-test-ca makes, in a folder of its own."""

    def __init__(self, test, *names):
        self.folder = pathlib.Path(test.enterContext(tempfile.TemporaryDirectory()))
        made = make_ca(self.folder, *names)
        test.assertEqual((made.returncode, made.stderr), (0, ""))

    def __getitem__(self, name):
        return self.folder / f"{name}.pem"

    def flags(self, section, mutual=True):
        flags = [
            f"--{section}.tls_certificate={self['server']}",
            f"--{section}.tls_key={self['server-key']}",
        ]
        return [*flags, f"--{section}.tls_client_ca={self['ca']}"] if mutual else flags

    def serve(self, mutual=True, **options):
        return Memod(*self.flags("server", mutual), *self.flags("admin", mutual), **options)

    def renew(self, other):
        """Puts another's server certificate in place of this one's, file by file."""
        for name in ("server-key", "server"):
            new = self[f"{name}.new"]
            new.write_bytes(other[name].read_bytes())
            os.replace(new, self[name])

    def memoctl_environment(self, memod):
        return {
            "MEMOCTL_SERVER": memod.address,
            "MEMOCTL_ADMIN": memod.admin_address,
            "MEMOCTL_TLS_CA": str(self["ca"]),
            "MEMOCTL_TLS_CERT": str(self["client"]),
            "MEMOCTL_TLS_KEY": str(self["client-key"]),
        }


def subject(address, ca, *options):
    """The name in the certificate that a port shows to openssl, which trusts `ca`."""
    shown = run(
        *("openssl", "s_client", "-connect", address, "-CAfile", ca["ca"], "-verify_return_error"),
        *("-alpn", "h2", *options),
    )
    match = re.search(r"^subject=CN = (\S+)$", shown.stdout, re.MULTILINE)
    return match[1] if match and "Verify return code: 0 (ok)" in shown.stdout else None


class TlsTest(unittest.TestCase):
    def setUp(self):
        self.ca = Ca(self, "localhost", "127.0.0.1")

    def memoctl(self, memod, *arguments, **environment):
        return run(
            MEMOCTL,
            *arguments,
            environment={**self.ca.memoctl_environment(memod), **environment},
        )

    def curl(self, memod, path, *options):
        got = run(
            *("curl", "-sS", "-w", "\n%{http_code}", "--cacert", self.ca["ca"], *options),
            f"https://{memod.http_address}{path}",
        )
        body, _, code = got.stdout.rpartition("\n")
        return int(code), body

    def test_memoctl_over_mutual_tls_on_both_ports(self):
        with self.ca.serve() as memod:
            called = self.memoctl(
                memod, "call", CALCULATE, '{"numbers": [40, 2]}', "--open", ADDER, "--repeat", "2"
            )
            self.assertEqual((called.returncode, json.loads(called.stdout)), (0, {"sum": 42}))
            self.assertRegex(called.stderr, r"^miss, .*\nhit ")
            info = self.memoctl(memod, "info", "-o", "json")
            self.assertEqual(info.returncode, 0, info.stderr)
            self.assertEqual(json.loads(info.stdout)["total"]["hits"], 1)
            names = self.memoctl(memod, "__complete", "info", "--method", CALCULATE[:-4])
            self.assertEqual(names.stdout, CALCULATE + "\n")

    def test_memoctl_says_what_is_wrong_with_its_side(self):
        with self.ca.serve() as memod:
            plaintext = run(
                *(MEMOCTL, "info", "--admin", memod.admin_address),
            )
            self.assertEqual(plaintext.returncode, 1)
            self.assertIn("does that port want TLS? See --tls-ca", plaintext.stderr)
            no_certificate = self.memoctl(memod, "info", MEMOCTL_TLS_CERT="", MEMOCTL_TLS_KEY="")
            self.assertEqual(no_certificate.returncode, 1)
            other = Ca(self, "localhost")
            unknown = self.memoctl(memod, "info", "--tls-ca", other["ca"])
            self.assertEqual(unknown.returncode, 1)
            self.assertIn("certificate verify failed", unknown.stderr)
            name = self.memoctl(memod, "info", "--tls-server-name", "elsewhere.example")
            self.assertEqual(name.returncode, 1)
            named = self.memoctl(memod, "info", "--tls-server-name", "localhost")
            self.assertEqual(named.returncode, 0, named.stderr)
            for arguments, fault in (
                (("--tls-key", ""), "--tls-cert and --tls-key go together"),
                (("--tls-ca", "/nowhere"), "cannot read /nowhere: No such file or directory"),
                (("--tls-ca", __file__), f"--tls-ca: {__file__} is no PEM file"),
            ):
                wrong = self.memoctl(memod, "info", *arguments)
                self.assertEqual(wrong.returncode, 2, arguments)
                self.assertIn(fault, wrong.stderr)

    def test_healthcheck_asks_with_its_own_configuration(self):
        for mutual in (False, True):
            with self.subTest(mutual=mutual), self.ca.serve(mutual) as memod:
                ask = (MEMOD, "healthcheck", f"--server.listen={memod.address}")
                healthy = run(*ask, *self.ca.flags("server", mutual))
                self.assertEqual((healthy.returncode, healthy.stdout), (0, "serving\n"))
                self.assertEqual(run(*ask).returncode, 1, "in plaintext")

    def test_healthcheck_may_show_another_certificate(self):
        other = Ca(self, "localhost")
        with Memod(
            *self.ca.flags("server", mutual=False), f"--server.tls_client_ca={other['ca']}"
        ) as memod:
            ask = (MEMOD, "healthcheck", f"--server.listen={memod.address}")
            ask += (f"--server.tls_client_ca={other['ca']}",)
            self.assertEqual(run(*ask, *self.ca.flags("server", mutual=False)).returncode, 1)
            shown = (
                f"--server.tls_certificate={other['client']}",
                f"--server.tls_key={other['client-key']}",
            )
            self.assertEqual(run(*ask, *shown).returncode, 0)

    def test_openssl_sees_http2_and_tls_1_2_at_the_least(self):
        with self.ca.serve(mutual=False) as memod:
            for address in (memod.address, memod.admin_address, memod.http_address):
                self.assertEqual(subject(address, self.ca), "localhost")
                self.assertEqual(subject(address, self.ca, "-tls1_2"), "localhost")
                old = ("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
                self.assertIsNone(subject(address, self.ca, *old))
            alpn = run("openssl", "s_client", "-connect", memod.address, "-alpn", "h2").stdout
            self.assertIn("ALPN protocol: h2", alpn)

    def test_http_needs_a_certificate_but_for_probes(self):
        mine = ("--cert", self.ca["client"], "--key", self.ca["client-key"])
        other = Ca(self, "localhost")
        theirs = ("--cert", other["client"], "--key", other["client-key"])
        with self.ca.serve() as memod:
            for path in ("/livez", "/readyz"):
                self.assertEqual(self.curl(memod, path), (200, "ok\n"))
            for path in ("/", "/cache_info", "/sessions", "/methods", "/metrics", "/nowhere"):
                code, body = self.curl(memod, path)
                self.assertEqual(code, 403, path)
                self.assertIn("want a client certificate", body)
                self.assertNotEqual(self.curl(memod, path, *mine)[0], 403)
            self.assertEqual(self.curl(memod, "/sessions", *mine)[0], 200)
            self.assertEqual(self.curl(memod, "/livez", *theirs)[0], 0, "of another CA")
            plaintext = run("curl", "-sS", f"http://{memod.http_address}/livez")
            self.assertNotEqual(plaintext.returncode, 0)
        with self.ca.serve(mutual=False) as memod:
            self.assertEqual(self.curl(memod, "/sessions")[0], 200)

    def test_renewed_files_are_used_and_wrong_ones_are_not(self):
        new = Ca(self, "new.example", "127.0.0.1")
        key = self.ca["server-key"].read_text()
        with self.ca.serve(mutual=False) as memod:
            ports = (memod.address, memod.admin_address, memod.http_address)
            self.ca["server-key"].write_text("no key")
            for port in ports:
                self.assertEqual(subject(port, self.ca), "localhost")
                self.assertEqual(subject(port, self.ca), "localhost", "again")
            warnings = memod.log("TLS files are wrong, those from before stay in use")
            reason = "holds no private key in PEM without a passphrase"
            self.assertEqual(
                sorted(line["fault"] for line in warnings),
                [f"{each}.tls_key: {self.ca['server-key']}: {reason}" for each in ("admin", "server")],
                "once each",
            )
            self.ca.renew(new)
            for port in ports:
                self.assertEqual(subject(port, new), "new.example")
            self.assertEqual(len(memod.log("certificate in use")), 4)
            for text in (key, new["server-key"].read_text()):
                self.assertNotIn(text.splitlines()[1], memod.stderr(), "a key in the log")

    def test_wrong_files_stop_the_start(self):
        for key in ("server", "admin"):
            flags = self.ca.flags(key, mutual=False)
            flags[1] = f"--{key}.tls_key=/nowhere"
            started = run(MEMOD, "--server.listen=127.0.0.1:0", *flags)
            self.assertEqual(started.returncode, 2)
            self.assertEqual(
                started.stderr, f"memod: {key}.tls_key: /nowhere: No such file or directory\n"
            )

    def test_listens_beyond_loopback_with_tls(self):
        flags = ("--server.listen=0.0.0.0:0", "--admin.listen=0.0.0.0:0", "--admin.http=0.0.0.0:0")
        with Memod(*flags, *self.ca.flags("server"), *self.ca.flags("admin")) as memod:
            self.assertEqual(self.memoctl(memod, "methods").returncode, 0)

    def test_upstream_over_mutual_tls(self):
        behind = grpc.server(futures.ThreadPoolExecutor(2))
        self.addCleanup(behind.stop, None)
        say = grpc.unary_unary_rpc_method_handler(lambda request, _: b"heard " + request)
        echo = grpc.method_handlers_generic_handler("test.v1.Echo", {"Say": say})
        behind.add_generic_rpc_handlers((echo,))
        key, certificate, ca = (
            self.ca[name].read_bytes() for name in ("server-key", "server", "ca")
        )
        port = behind.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], ca, True)
        )
        behind.start()
        config = f"""
[[upstream]]
name = "behind"
target = "127.0.0.1:{port}"
tls_ca = "{self.ca['ca']}"
tls_certificate = "{self.ca['client']}"
tls_key = "{self.ca['client-key']}"
"""
        with Memod(config=config) as front, grpc.insecure_channel(front.address) as channel:
            answer = channel.unary_unary("/test.v1.Echo/Say")(b"hello", timeout=SOON)
            self.assertEqual(answer, b"heard hello")


class MakeTestCaTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "ca"

    def verify(self, purpose, name):
        return run(
            *("openssl", "verify", "-x509_strict", "-purpose", purpose),
            *("-CAfile", self.folder / "ca.pem", self.folder / f"{name}.pem"),
        ).returncode

    def test_each_certificate_is_for_its_purpose_and_keys_are_their_owners(self):
        self.assertEqual(make_ca(self.folder, "memod.example", "10.0.0.1", "::1").returncode, 0)
        self.assertEqual(self.verify("sslserver", "server"), 0)
        self.assertEqual(self.verify("sslclient", "server"), 0)
        self.assertEqual(self.verify("sslclient", "client"), 0)
        self.assertNotEqual(self.verify("sslserver", "client"), 0)
        names = run(
            *("openssl", "x509", "-noout", "-ext", "subjectAltName"),
            *("-in", self.folder / "server.pem"),
        ).stdout
        for name in ("DNS:memod.example", "IP Address:10.0.0.1", "IP Address:0:0:0:0:0:0:0:1"):
            self.assertIn(name, names)
        self.assertEqual(len(list(self.folder.iterdir())), 6)
        for key in self.folder.glob("*-key.pem"):
            self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600, key)

    def test_nothing_is_written_over(self):
        self.assertEqual(make_ca(self.folder).returncode, 0)
        before = {file: file.read_bytes() for file in self.folder.iterdir()}
        self.folder.joinpath("ca.pem").unlink()
        before.pop(self.folder / "ca.pem")
        again = make_ca(self.folder)
        self.assertEqual(again.returncode, 1)
        self.assertIn("is there already", again.stderr)
        self.assertEqual({file: file.read_bytes() for file in self.folder.iterdir()}, before)

    def test_wrong_usage_makes_nothing(self):
        for arguments in ((), ("--nope",), (self.folder, "a b"), (self.folder, "a,DNS:b")):
            wrong = run(SOURCE_DIR / "deploy/make-test-ca", *arguments)
            self.assertEqual(wrong.returncode, 2, arguments)
            self.assertTrue(wrong.stderr)
        self.assertNotEqual(make_ca(self.folder, "300.1.1.1").returncode, 0)
        self.assertEqual(list(self.folder.iterdir()), [], "no half of a CA")


if __name__ == "__main__":
    unittest.main()
