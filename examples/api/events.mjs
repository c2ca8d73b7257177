// events.mjs API TOKEN_FILE NAMESPACE/NAME CURSOR_FILE: prints the events that
// are new since the last call, one a line.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const [api, tokenFile, domain, cursorFile] = process.argv.slice(2);
for (let more = true; more; ) {
  const query = new URLSearchParams({ limit: "1000" });
  if (existsSync(cursorFile)) query.set("after", readFileSync(cursorFile, "utf8"));
  const answer = await fetch(`${api}/v1/domains/${domain}/events?${query}`, {
    headers: { Authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` },
    signal: AbortSignal.timeout(10_000),
  });
  const page = await answer.json();
  if (!answer.ok) throw new Error(page.title);
  for (const event of page.events) console.log(JSON.stringify(event));
  // Only now: who is ended before this line sees the page once more, and none is missed.
  writeFileSync(`${cursorFile}.part`, page.next);
  renameSync(`${cursorFile}.part`, cursorFile);
  more = page.more;
}
