// webhook.mjs PORT SECRET_FILE: a receiver of an event sink, which prints the
// events that come. It needs the package standardwebhooks.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const [port, secretFile] = process.argv.slice(2);
const webhook = new Webhook(readFileSync(secretFile, "utf8").trim());

async function receive(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  // The bytes as they came: JSON that was read and written again has another signature.
  const body = Buffer.concat(parts).toString();
  try {
    const event = webhook.verify(body, request.headers);
    // An event may come twice: it has the same id then.
    console.log(JSON.stringify(event));
    response.writeHead(204).end();
  } catch {
    response.writeHead(401).end();
  }
}

createServer(receive).listen(Number(port), "127.0.0.1");
