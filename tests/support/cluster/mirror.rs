//! A Secret's key as a file, as the kubelet keeps it in a volume.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{ControlPlane, Namespace};

/// How often the Secret is looked at. A kubelet takes up to a minute and more:
/// what is slow is said with the delay.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// The thread that keeps the file; it ends when dropped, and the file stays.
pub struct Mirror {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlPlane {
    /// Keeps a file with what a key of a Secret holds, replaced as a whole some
    /// time after each change. While the Secret or the key is missing, the file
    /// stays as it is.
    pub fn mirror_secret(
        &self,
        namespace: &Namespace<'_>,
        name: &str,
        key: &str,
        path: impl Into<PathBuf>,
        delay: Duration,
    ) -> Mirror {
        let secrets: Api<Secret> = Api::namespaced(self.client(), namespace.name());
        let (name, key, path) = (name.to_owned(), key.to_owned(), path.into());
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let runtime = self.runtime.handle().clone();
        let thread = std::thread::spawn(move || {
            let mut last = None;
            while !until.load(Ordering::Relaxed) {
                // An API server that a test has stopped is asked again.
                let asked = async { tokio::time::timeout(ANSWER, secrets.get_opt(&name)).await };
                let found = runtime.block_on(asked).ok().and_then(Result::ok).flatten();
                let bytes = found.and_then(|secret| secret.data?.remove(&key));
                if let Some(bytes) = bytes.filter(|b| last.as_ref() != Some(&b.0)) {
                    std::thread::sleep(delay);
                    replace(&path, &bytes.0).expect("the file's folder exists");
                    last = Some(bytes.0);
                }
                std::thread::sleep(INTERVAL);
            }
        });
        Mirror {
            ended,
            thread: Some(thread),
        }
    }
}

/// With the mode that a kubelet gives it where a pod has an `fsGroup`.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o440)
        .open(&part)?;
    file.write_all(bytes)?;
    fs::rename(&part, path)
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
