//! What Apple's and Google's systems read to let a domain's apps take over
//! links under `/a/` (case 99). Made from the domain's app ids; none, no document.

use mailtrail_core::config::Domain;
use serde_json::json;

/// `apple-app-site-association`: the apps, for `/a/*` only.
/// <https://developer.apple.com/documentation/bundleresources/applinks>
pub(super) fn apple(domain: &Domain) -> Option<String> {
    let ids = &domain.apps.apple;
    let details = json!([{ "appIDs": ids, "components": [{ "/": "/a/*" }] }]);
    let document = json!({ "applinks": { "details": details } });
    (!ids.is_empty()).then(|| document.to_string())
}

/// `assetlinks.json`: the apps by package and certificate. Which paths an app
/// takes is in its own manifest; from Android 15 on also here.
/// <https://developer.android.com/training/app-links/configure-assetlinks>
pub(super) fn android(domain: &Domain) -> Option<String> {
    const ALL_URLS: &str = "delegate_permission/common.handle_all_urls";
    let apps = &domain.apps.android;
    let statements = apps.iter().map(|app| {
        json!({
            "relation": [ALL_URLS],
            "target": {
                "namespace": "android_app",
                "package_name": app.package,
                "sha256_cert_fingerprints": app.sha256_fingerprints,
            },
            "relation_extensions": {
                ALL_URLS: { "dynamic_app_link_components": [{ "/": "/a/*" }] },
            },
        })
    });
    (!apps.is_empty()).then(|| statements.collect::<serde_json::Value>().to_string())
}
