"""Servers to measure against, and memod as it is shipped: each on a free port of loopback and on the
server's CPU alone, from `with` to the end of its block. Set up as somebody would who knows them."""

import contextlib
import pathlib
import socket
import tempfile

from harness import BUILD, CLIENT_CPU, SERVER_CPU, PROGRAMS, Process, free_port, listens

HERE = "127.0.0.1"


@contextlib.contextmanager
def _server(argv, port, cpu=SERVER_CPU):
    with Process(argv, cpu) as process:
        process.wait_until(lambda: listens(port), f"listening on port {port}")
        process.port = port
        process.address = f"{HERE}:{port}"
        yield process


@contextlib.contextmanager
def _configured(text):
    """A folder with a file of that text."""
    with tempfile.TemporaryDirectory(prefix="memod-benchmark-") as folder:
        file = pathlib.Path(folder, "config")
        file.write_text(text.replace("@FOLDER@", folder))
        yield file


@contextlib.contextmanager
def redis():
    port = free_port()
    options = ["--port", port, "--bind", HERE, "--save", "", "--appendonly", "no"]
    with _server(["redis-server", *options], port) as server:
        yield server


@contextlib.contextmanager
def memcached(megabytes=1024):
    port = free_port()
    options = ["-l", HERE, "-p", port, "-U", 0, "-m", megabytes, "-t", 1, "-u", "nobody"]
    with _server(["memcached", *options], port) as server:
        yield server


@contextlib.contextmanager
def upstream():
    """The bare gRPC service; on the CPU of the clients, so that what is before it has its own."""
    with Process([PROGRAMS / "unary_benchmark", "--serve-bare", 64, CLIENT_CPU], CLIENT_CPU) as process:
        process.port = int(process.wait_until(process.output, "port"))
        process.address = f"{HERE}:{process.port}"
        yield process


@contextlib.contextmanager
def haproxy(target):
    port = free_port()
    config = f"""
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend callers
  bind {HERE}:{port} proto h2
  default_backend upstream
backend upstream
  server upstream {target} proto h2
"""
    with _configured(config) as file, _server(["/usr/sbin/haproxy", "-db", "-f", file], port) as server:
        yield server


@contextlib.contextmanager
def nginx(target):
    port = free_port()
    config = f"""
daemon off;
worker_processes 1;
pid @FOLDER@/pid;
error_log stderr error;
events {{}}
http {{
  access_log off;
  client_body_temp_path @FOLDER@/body;
  proxy_temp_path @FOLDER@/proxy;
  fastcgi_temp_path @FOLDER@/fastcgi;
  uwsgi_temp_path @FOLDER@/uwsgi;
  scgi_temp_path @FOLDER@/scgi;
  keepalive_requests 1000000000;
  upstream upstream {{
    server {target};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {HERE}:{port} http2;
    location / {{
      grpc_pass grpc://upstream;
    }}
  }}
}}
"""
    with _configured(config) as file, _server(["/usr/sbin/nginx", "-e", "stderr", "-c", file], port) as server:
        yield server


@contextlib.contextmanager
def memod(more=""):
    """The program as shipped, with `more` in its configuration."""
    port, admin = free_port(), free_port()
    config = f"""
[server]
listen = "{HERE}:{port}"
[admin]
listen = "{HERE}:{admin}"
http = ""
[log]
level = "warn"
{more}
"""
    with _configured(config) as file, _server([BUILD / "server" / "memod", "--config", file], port) as server:
        yield server


class Lines:
    """A connection to a server of text lines, as Redis and memcached are."""

    def __init__(self, server):
        self._connection = socket.create_connection((HERE, server.port))
        self._file = self._connection.makefile("rwb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._connection.close()

    def send(self, data):
        self._file.write(data)

    def flush(self):
        self._file.flush()

    def read(self, count):
        return self._file.read(count)

    def line(self):
        return self._file.readline().decode().rstrip("\r\n")
