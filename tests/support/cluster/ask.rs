//! Ways to ask an API server: `kubectl` for what people do, raw requests for
//! what is asked often and for the exact words of an answer.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::ControlPlane;

/// What the API server answered.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// The object, or a `Status` that says what is wrong.
    pub body: Value,
}

/// A client with the rights of a kubeconfig.
pub(super) async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.expect("a cluster and a user")).expect("a client")
}

impl ControlPlane {
    /// Runs `kubectl` as the administrator and gives what it printed.
    ///
    /// # Panics
    /// If it fails; what it said is in the message.
    pub fn kubectl(&self, flags: &[&str]) -> String {
        self.kubectl_with(flags, "")
    }

    /// The same with this on its standard input.
    ///
    /// # Panics
    /// If it fails; what it said is in the message.
    pub fn kubectl_with(&self, flags: &[&str], input: &str) -> String {
        let output = self.kubectl_tried(flags, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {flags:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `kubectl` as the administrator, whatever becomes of it.
    pub fn kubectl_tried(&self, flags: &[&str], input: &str) -> Output {
        self.kubectl_as(&self.kubeconfig(), flags, input)
    }

    /// Runs `kubectl` with a kubeconfig, whatever becomes of it.
    pub fn kubectl_as(&self, kubeconfig: &Path, flags: &[&str], input: &str) -> Output {
        let mut child = Command::new(self.programs.join("kubectl"))
            .args(flags)
            .env("KUBECONFIG", kubeconfig)
            // What one API server has says nothing of the next one on its port.
            .env("KUBECACHEDIR", self.state.join("kubectl"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // What it does not read it needs not.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("kubectl ends")
    }

    /// Runs lines of a shell in a folder, with the administrator's `kubectl` at
    /// hand; gives what they print.
    ///
    /// # Panics
    /// If they fail; what they said is in the message.
    pub fn sh(&self, folder: &Path, lines: &str) -> String {
        let mut command = Command::new("bash");
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.state.join("kubectl"));
        crate::pages::shell(command, folder, &self.programs, lines)
    }

    /// Asks the API server as the administrator.
    ///
    /// # Panics
    /// If no answer comes.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.ask_with(method, path, "application/json", body)
    }

    /// Merges this into an object, as `kubectl patch --type=merge` does.
    ///
    /// # Panics
    /// If the API server refuses; its words are in the message.
    pub fn merge(&self, path: &str, patch: &Value) -> Value {
        let kind = "application/merge-patch+json";
        self.ask_with("PATCH", path, kind, Some(patch)).taken()
    }

    /// Creates an object.
    ///
    /// # Panics
    /// If the API server refuses; its words are in the message.
    pub fn create(&self, path: &str, object: &Value) -> Value {
        self.ask("POST", path, Some(object)).taken()
    }

    /// Reads an object or a list.
    ///
    /// # Panics
    /// If there is none.
    pub fn get_json(&self, path: &str) -> Value {
        self.ask("GET", path, None).taken()
    }

    /// Reads an object, if it exists.
    ///
    /// # Panics
    /// If the API server says anything else than here it is, or not found.
    pub fn find_json(&self, path: &str) -> Option<Value> {
        let reply = self.ask("GET", path, None);
        (reply.status != 404).then(|| reply.taken())
    }

    fn ask_with(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(Body::from(body.into_bytes()))
            .expect("a request");
        self.block_on(async {
            let response = self.client().send(request).await.expect("an answer");
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.expect("all of it");
            let body = serde_json::from_slice(&body.to_bytes()).expect("JSON");
            Reply { status, body }
        })
    }
}

impl Reply {
    /// The object of an answer that must not be a refusal.
    ///
    /// # Panics
    /// If it is one; the API server's words are in the message.
    pub fn taken(self) -> Value {
        assert!(self.status < 300, "{}: {:#}", self.status, self.body);
        self.body
    }
}
