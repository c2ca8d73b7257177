// rewrite.mjs API TOKEN_FILE DOMAIN MESSAGE_ID RECIPIENT < mail.html > tracked.html
import { readFileSync } from "node:fs";

const [api, tokenFile, domain, message_id, recipient] = process.argv.slice(2);
let html = readFileSync(0, "utf8");
try {
  const answer = await fetch(`${api}/v1/rewrite`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      // Read anew each time: Kubernetes replaces the token before it ends.
      Authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}`,
    },
    body: JSON.stringify({ domain, message_id, recipient, html }),
    signal: AbortSignal.timeout(10_000),
  });
  const said = await answer.json();
  if (answer.ok) html = said.html;
  else console.error(said.title, said.errors ?? "");
} catch (away) {
  console.error(away.message);
}
// The mail goes out all the same, then untracked.
process.stdout.write(html);
