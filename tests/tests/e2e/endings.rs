//! How tasks end on a running host: word for word as the testing kit tells authors in their tests, which run through the
//! same table (in the fixture plugin `good`).

use serde_json::{Value, json};
use tests::{Host, Plugin};

#[test]
fn a_client_reads_what_the_testing_kit_says() {
    let endings: Value =
        serde_json::from_str(include_str!("../../plugins/good/endings.json")).unwrap();
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for ending in endings.as_array().unwrap() {
        let mut request = json!({"function": ending["function"]});
        if let Some(args) = ending.get("args") {
            request["args"] = args.clone();
        }
        let Err(failure) = client.request(request) else {
            assert_eq!(ending.get("code"), None, "{ending}");
            continue;
        };
        assert_eq!(ending["code"], failure.code, "{ending}");
        let begins = ending["begins"].as_str().unwrap();
        let message = &failure.message;
        assert!(message.starts_with(begins), "{ending}: {message:.200}");
        assert_eq!(failure.data["kind"], ending["kind"], "{ending}");
    }
}
