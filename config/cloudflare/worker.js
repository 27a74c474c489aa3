// Cloudflare Email Worker: hands each mail to mailbridge, and throws unless it was stored, so that the sender's server tries again.
// Set in the Worker: the variable BRIDGE_URL (https://bridge.example.com) and the secret BRIDGE_SECRET, the same text as one of
// [ingest] webhook_secrets ("whsec_" and Base64). Then route an address, or the catch-all, of your domain to this Worker.
// The post is signed as Standard Webhooks 1.0 has it: id, timestamp and the mail's octets.
export default {
  async email(message, env) {
    const mail = new Uint8Array(await new Response(message.raw).arrayBuffer());
    const id = `msg_${crypto.randomUUID()}`;
    const timestamp = Math.floor(Date.now() / 1000).toString();
    const query = new URLSearchParams({ rcpt: message.to });
    if (message.from) query.set("from", message.from);
    const answer = await fetch(`${env.BRIDGE_URL}/ingest/mime?${query}`, {
      method: "POST",
      body: mail,
      redirect: "error",
      headers: {
        "content-type": "message/rfc822",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": await signature(env.BRIDGE_SECRET, `${id}.${timestamp}.`, mail),
      },
    });
    if (answer.status === 404) message.setReject("550 5.1.1 No such address here");
    else if (!answer.ok) throw new Error(`mailbridge answered ${answer.status}`);
  },
};

async function signature(secret, head, mail) {
  const octets = Uint8Array.from(atob(secret.replace(/^whsec_/, "")), (letter) => letter.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", octets, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const start = new TextEncoder().encode(head);
  const text = new Uint8Array(start.length + mail.length);
  text.set(start);
  text.set(mail, start.length);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, text));
  return `v1,${btoa(String.fromCharCode(...mac))}`;
}
