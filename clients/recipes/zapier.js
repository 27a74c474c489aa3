// A step "Code by Zapier, Run JavaScript": the code of a mail, for the steps after it.
//
// Input data: url (mailbridge as the internet reaches it, https), token (`mailbridge token add --identifier ann@corp.com`), identifier,
// since (optional: the moment at which the Zap began, so that no older code is taken). The step may take a few seconds only, so it waits
// for eight; where the mail may take longer, put a Delay before it.
const query = new URLSearchParams({ identifier: inputData.identifier, kind: "code", timeout: "8" });
if (inputData.since) query.set("since", inputData.since);
const answer = await fetch(`${inputData.url}/api/v1/codes/wait?${query}`, {
  headers: { Authorization: `Bearer ${inputData.token}` },
});
const found = await answer.json();
if (!answer.ok) throw new Error(found.title);
if (!found.code) throw new Error(`no code for ${inputData.identifier}`);
output = { code: found.code, from: found.from, received_at: found.received_at };
