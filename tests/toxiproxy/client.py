"""PyPI: toxiproxy-python. Words: host and port of the API, host:port of an upstream that echoes."""

import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

host, port, upstream = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def refuses(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return True
    return False


def echo(proxy):
    """How long an echo through the proxy takes, in seconds; None where there is none."""
    at, number = proxy.listen.rsplit(":", 1)
    try:
        with socket.create_connection((at, int(number)), timeout=20) as client:
            begun = time.monotonic()
            client.sendall(b"hello")
            back = b""
            while len(back) < 5:
                part = client.recv(5)
                if not part:
                    return None
                back += part
            assert back == b"hello", back
            return time.monotonic() - begun
    except (ConnectionRefusedError, ConnectionResetError):
        return None


server = Toxiproxy()
server.update_api_consumer(host, port)
assert server.running()
assert b"2." in server.version()

proxy = server.create(upstream=upstream, name="python")
assert proxy.enabled and not proxy.listen.endswith(":0"), proxy.listen
assert refuses(ProxyExists, server.create, upstream=upstream, name="python")
assert server.get_proxy("python").listen == proxy.listen
assert echo(proxy) is not None

proxy.add_toxic(type="latency", attributes={"latency": 300, "jitter": 0})
toxic = proxy.get_toxic("latency_downstream")
assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1), vars(toxic)
assert toxic.attributes == {"latency": 300, "jitter": 0}, toxic.attributes
assert echo(proxy) >= 0.3
assert proxy.destroy_toxic("latency_downstream")
assert proxy.toxics() == {}
assert refuses(NotFound, proxy.destroy_toxic, "latency_downstream")

every = {
    "latency": {"latency": 1, "jitter": 1},
    "bandwidth": {"rate": 1000},
    "slow_close": {"delay": 1},
    "timeout": {"timeout": 1000},
    "reset_peer": {"timeout": 1000},
    "slicer": {"average_size": 10, "size_variation": 5, "delay": 10},
    "limit_data": {"bytes": 100000},
}
for kind, attributes in every.items():
    for stream in ("upstream", "downstream"):
        proxy.add_toxic(type=kind, stream=stream, toxicity=0.25, attributes=attributes)
toxics = proxy.toxics()
assert set(toxics) == {f"{kind}_{stream}" for kind in every for stream in ("upstream", "downstream")}
for name, toxic in toxics.items():
    assert toxic.attributes == every[toxic.type] and toxic.toxicity == 0.25, vars(toxic)
assert refuses(InvalidToxic, proxy.add_toxic, type="unknown")
assert refuses(InvalidToxic, proxy.add_toxic, type="latency", stream="sideways")
assert refuses(InvalidToxic, proxy.add_toxic, type="latency", name="x", attributes={"latency": "soon"})

assert server.reset()
assert proxy.toxics() == {}
with proxy.down():
    assert echo(proxy) is None
    assert not server.get_proxy("python").enabled
assert echo(proxy) is not None

populated = server.populate([{"name": "python", "upstream": upstream, "listen": proxy.listen}, {"name": "second", "upstream": upstream}])
assert [p.name for p in populated] == ["second"]
assert set(server.proxies()) == {"python", "second"}
server.destroy_all()
assert server.proxies() == {}
print("python: well")
