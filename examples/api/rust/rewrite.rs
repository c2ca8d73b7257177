//! `rewrite API TOKEN_FILE DOMAIN MESSAGE_ID RECIPIENT < mail.html > tracked.html`

use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [api, token_file, domain, message_id, recipient] = args.as_slice() else {
        anyhow::bail!("rewrite API TOKEN_FILE DOMAIN MESSAGE_ID RECIPIENT");
    };
    let mut html = String::new();
    std::io::stdin().read_to_string(&mut html)?;
    let mail =
        json!({"domain": domain, "message_id": message_id, "recipient": recipient, "html": html});
    match rewrite(api, token_file, &mail) {
        Ok(tracked) => print!("{tracked}"),
        Err(why) => {
            // The mail goes out all the same, untracked.
            eprintln!("{why}");
            print!("{html}");
        }
    }
    Ok(())
}

fn rewrite(api: &str, token_file: &str, mail: &Value) -> anyhow::Result<String> {
    // Read anew each time: Kubernetes replaces the token before it ends.
    let token = std::fs::read_to_string(token_file)?;
    let mut answer = ureq::post(format!("{api}/v1/rewrite"))
        .config()
        .timeout_global(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .build()
        .header("Authorization", format!("Bearer {}", token.trim()))
        .send_json(mail)?;
    let ok = answer.status().is_success();
    // A mail that was rewritten is larger than it was.
    let body = answer.body_mut().with_config().limit(64 << 20);
    let said: Value = body.read_json()?;
    match said["html"].as_str() {
        Some(html) if ok => Ok(html.to_owned()),
        _ => anyhow::bail!("{} {}", said["title"], said["errors"]),
    }
}
