"""Row 11: what an entry takes beyond its key and its value, in memod, Redis and memcached."""

import peers
from harness import run_program

KEY_BYTES = 16
ENTRIES = 100_000
SIZES = {"16 B": 16, "64 B": 64, "256 B": 256, "1 KiB": 1024}


def measure(effort):
    """Counted, not timed: once is enough."""
    pairs = []
    for line in run_program("memory_benchmark", "--row", "11"):
        size = line["figure"].removeprefix("bytes/entry, ").removesuffix(" values")
        others = {"96 B": 96, "Redis": redis(SIZES[size]), "memcached": memcached(SIZES[size])}
        pairs += [line | {"other": other, "against": against} for against, other in others.items()]
    return pairs


def key(n):
    return b"%0*d" % (KEY_BYTES, n)


def redis(value_bytes):
    """By its used_memory, which is what its allocator gave out."""
    value = b"v" * value_bytes
    with peers.redis() as server, peers.Lines(server) as connection:

        def info(section, name):
            connection.send(b"INFO %s\r\n" % section)
            connection.flush()
            length = int(connection.line().removeprefix("$"))
            lines = connection.read(length + 2).decode().split("\r\n")
            return next(line.split(":", 1)[1] for line in lines if line.startswith(name + ":"))

        before = int(info(b"memory", "used_memory"))
        for n in range(ENTRIES):
            connection.send(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (KEY_BYTES, key(n), value_bytes, value))
            if n % 1000 == 999:
                connection.flush()
                assert all(connection.line() == "+OK" for _ in range(1000))
        assert f"keys={ENTRIES}," in info(b"keyspace", "db0")
        return (int(info(b"memory", "used_memory")) - before) / ENTRIES - KEY_BYTES - value_bytes


def memcached(value_bytes):
    """The chunks that its items are in, and its hash table."""
    value = b"v" * value_bytes
    with peers.memcached() as server, peers.Lines(server) as connection:
        for n in range(ENTRIES):
            connection.send(b"set %s 0 0 %d\r\n%s\r\n" % (key(n), value_bytes, value))
            if n % 1000 == 999:
                connection.flush()
                assert all(connection.line() == "STORED" for _ in range(1000))

        def stats(what):
            connection.send(what + b"\r\n")
            connection.flush()
            found = {}
            while (line := connection.line()) != "END":
                _, name, stat = line.split(" ", 2)
                found[name] = stat
            return found

        slabs, general = stats(b"stats slabs"), stats(b"stats")
        assert int(general["curr_items"]) == ENTRIES
        chunks = sum(
            int(slabs[f"{number}:used_chunks"]) * int(slabs[f"{number}:chunk_size"])
            for number in (name.split(":")[0] for name in slabs if name.endswith(":chunk_size"))
        )
        return (chunks + int(general["hash_bytes"])) / ENTRIES - KEY_BYTES - value_bytes
