// Reads deliveries as receivers would, with the published libraries:
// verify.mjs FOLDER, where node finds them in FOLDER and the deliveries stand on
// standard input, each with format, headers, body, and secrets. What is wrong
// ends it with an error. Prints TypeScript that holds only where Resend's own
// types are kept.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const standard = require("standardwebhooks").Webhook;
const svix = require("svix").Webhook;
const { Resend } = require("resend");
const other = "whsec_" + Buffer.alloc(32, 9).toString("base64");

function refuses(what, verify) {
  try {
    verify();
  } catch {
    return;
  }
  throw new Error(`${what} is taken`);
}

// A signature, a wrong secret, a changed body.
function check(Library, { headers, body, secrets }) {
  for (const secret of secrets) {
    const library = new Library(secret);
    library.verify(body, headers);
    refuses("a changed body", () => library.verify(body + " ", headers));
  }
  refuses("another secret", () => new Library(other).verify(body, headers));
}

const lines = [];
const deliveries = JSON.parse(readFileSync(0, "utf8"));
for (const delivery of deliveries) {
  const { format, headers, body, secrets } = delivery;
  if (format !== "Resend") {
    check(standard, delivery);
    continue;
  }
  check(svix, delivery);
  const event = new Resend("re_none").webhooks.verify({
    payload: body,
    headers: {
      id: headers["svix-id"],
      timestamp: headers["svix-timestamp"],
      signature: headers["svix-signature"],
    },
    webhookSecret: secrets[0],
  });
  const type = { "email.opened": "EmailOpenedEvent", "email.clicked": "EmailClickedEvent" }[event.type];
  if (!type) throw new Error(`${event.type} is no type of Resend's`);
  lines.push(`export const e${lines.length}: import("resend").${type} = ${body};`);
}
console.log(lines.join("\n"));
