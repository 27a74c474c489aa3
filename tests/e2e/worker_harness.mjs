// Runs the Worker as Cloudflare does: one message a line of standard input, and a line with what became of it.
import { createInterface } from "node:readline";

const [, , path, url, secret] = process.argv;
const worker = (await import(path)).default;
for await (const line of createInterface({ input: process.stdin })) {
  const { from, to, raw } = JSON.parse(line);
  const octets = Buffer.from(raw, "base64");
  let rejected = "";
  const message = {
    from,
    to,
    rawSize: octets.length,
    raw: new ReadableStream({ start(sink) { sink.enqueue(new Uint8Array(octets)); sink.close(); } }),
    setReject: (reason) => { rejected = reason; },
  };
  let became = "stored";
  try {
    await worker.email(message, { BRIDGE_URL: url, BRIDGE_SECRET: secret }, {});
    if (rejected) became = `rejected ${rejected}`;
  } catch (fault) {
    became = `thrown ${fault.message}`;
  }
  process.stdout.write(JSON.stringify({ became }) + "\n");
}
