//! `events API TOKEN_FILE NAMESPACE/NAME CURSOR_FILE`: prints the events that are
//! new since the last call, one a line.

use std::fs;
use std::time::Duration;

use serde_json::Value;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [api, token_file, domain, cursor_file] = args.as_slice() else {
        anyhow::bail!("events API TOKEN_FILE NAMESPACE/NAME CURSOR_FILE");
    };
    loop {
        let token = fs::read_to_string(token_file)?;
        let mut request = ureq::get(format!("{api}/v1/domains/{domain}/events"))
            .config()
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .header("Authorization", format!("Bearer {}", token.trim()))
            .query("limit", "1000");
        if let Ok(after) = fs::read_to_string(cursor_file) {
            request = request.query("after", after);
        }
        let page: Value = request.call()?.body_mut().read_json()?;
        for event in page["events"].as_array().into_iter().flatten() {
            println!("{event}");
        }
        // Only now: who is ended before this line sees the page once more, and none is missed.
        let part = format!("{cursor_file}.part");
        fs::write(&part, page["next"].as_str().unwrap_or_default())?;
        fs::rename(&part, cursor_file)?;
        if page["more"] != true {
            return Ok(());
        }
    }
}
