// npm: toxiproxy-node-client. Words: address of the API, host:port of an upstream that echoes.

const assert = require("node:assert");
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

const [api, upstream] = process.argv.slice(2);

/** How long an echo through the proxy takes, in milliseconds; null where there is none. */
function echo(proxy) {
  const at = proxy.listen.lastIndexOf(":");
  return new Promise((resolve, reject) => {
    const begun = process.hrtime.bigint();
    const client = net.connect(Number(proxy.listen.slice(at + 1)), proxy.listen.slice(0, at), () => client.write("hello"));
    client.setTimeout(20000, () => reject(new Error("no echo")));
    client.on("error", () => resolve(null));
    client.on("close", () => resolve(null));
    let back = "";
    client.on("data", (part) => {
      back += part;
      if (back === "hello") {
        client.destroy();
        resolve(Number(process.hrtime.bigint() - begun) / 1e6);
      }
    });
  });
}

async function main() {
  const server = new Toxiproxy(api);
  assert.match(JSON.parse(await server.getVersion()).version, /^2\./);

  const proxy = await server.createProxy({ name: "node", listen: "127.0.0.1:0", upstream });
  assert.ok(proxy.enabled && !proxy.listen.endsWith(":0"), proxy.listen);
  assert.deepEqual((await server.get("node")).toJson(), proxy.toJson());
  await assert.rejects(server.createProxy({ name: "node", listen: "127.0.0.1:0", upstream }), /proxy already exists|409/);
  await assert.rejects(server.get("nobody"), /proxy not found|404/);
  assert.notEqual(await echo(proxy), null);

  const body = { name: "slow", type: "latency", stream: "upstream", toxicity: 1, attributes: { latency: 300, jitter: 0 } };
  const toxic = await proxy.addToxic(body);
  assert.deepEqual(toxic.toJson(), body);
  assert.ok((await echo(proxy)) >= 300);
  const faster = await toxic.update({ attributes: { latency: 1 } });
  assert.deepEqual(faster.attributes, { latency: 1, jitter: 0 });
  assert.deepEqual((await proxy.getToxic("slow")).toJson(), { ...body, attributes: { latency: 1, jitter: 0 } });
  await faster.remove();
  await assert.rejects(proxy.getToxic("slow"), /toxic not found|404/);

  await proxy.addToxic({ name: "cut", type: "limit_data", stream: "downstream", toxicity: 1, attributes: { bytes: 2 } });
  assert.equal(await echo(proxy), null);
  await server.reset();
  assert.notEqual(await echo(proxy), null);

  const down = await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  assert.equal(down.enabled, false);
  assert.equal(await echo(proxy), null);
  const up = await proxy.update({ enabled: true, listen: proxy.listen, upstream });
  assert.equal(up.listen, proxy.listen);
  assert.notEqual(await echo(up), null);

  const populated = await server.populate([{ name: "node", listen: proxy.listen, upstream }, { name: "second", listen: "127.0.0.1:0", upstream }]);
  assert.deepEqual(Object.keys(populated), ["node", "second"]);
  for (const each of Object.values(await server.getAll())) {
    await each.remove();
  }
  assert.deepEqual(await server.getAll(), {});
  console.log("node: well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
