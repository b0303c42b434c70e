"""What was measured on, and with which versions of whom."""

import datetime
import os
import platform
import re
import subprocess
import sys

from harness import CLIENT_CPU, ROOT, SERVER_CPU

VERSIONS = {
    "gRPC": ["pkg-config", "--modversion", "grpc++"],
    "Redis": ["redis-server", "--version"],
    "memcached": ["memcached", "-V"],
    "LevelDB": ["dpkg-query", "-W", "-f", "${Version}", "libleveldb-dev"],
    "HAProxy": ["/usr/sbin/haproxy", "-v"],
    "nginx": ["/usr/sbin/nginx", "-v"],
    "h2load": ["h2load", "--version"],
}


def first_number(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError:
        return "not installed"
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found.group() if found else "unknown"


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def commit():
    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (", changed" if git("status", "--porcelain") else "")


def describe():
    """As a dict of texts, in the order in which they are shown."""
    cores = len(os.sched_getaffinity(0))
    versions = {name: first_number(argv) for name, argv in VERSIONS.items()} | {"Python": platform.python_version()}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "memod": commit() or "unknown",
        "CPU": f"{cpu_model()}, {cores} cores; servers on CPU {SERVER_CPU}, clients on CPU {CLIENT_CPU}",
        "kernel": f"{platform.system()} {platform.release()}",
        "beside": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
