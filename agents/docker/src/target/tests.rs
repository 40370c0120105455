//! Which containers a selector means, in an engine of a few lines.

use super::*;
use crate::guard::Own;

fn containers() -> Vec<Listed> {
    let line = |name: &str, image: &str, labels: serde_json::Value, network: &str| {
        let line = serde_json::json!({
            "Id": format!("{:0<64}", name.bytes().map(|b| format!("{b:02x}")).collect::<String>()),
            "Names": [format!("/{name}")], "Image": image, "State": "running", "Status": "Up 1 second", "Labels": labels,
            "NetworkSettings": {"Networks": {network: {"NetworkID": "77"}}},
        });
        Listed::of(serde_json::from_value(line).expect("a line")).expect("a container")
    };
    let compose = |service: &str, number: u32| {
        serde_json::json!({"com.docker.compose.project": "shop", "com.docker.compose.service": service,
            "com.docker.compose.container-number": number.to_string(), "app": service})
    };
    let mut once = compose("ranker", 1);
    once["com.docker.compose.oneoff"] = "True".into();
    vec![
        line("shop-ranker-1", "reg.lab:5000/ranker:2", compose("ranker", 1), "shop_default"),
        line("shop-ranker-2", "reg.lab:5000/ranker:2", compose("ranker", 2), "shop_default"),
        line("shop-ranker-10", "reg.lab:5000/ranker:2", compose("ranker", 10), "shop_default"),
        line("shop-ranker-run-1", "reg.lab:5000/ranker:2", once, "shop_default"),
        line("shop-store-1", "redis:7", compose("store", 1), "shop_default"),
        line("watcher", "redis:6", serde_json::json!({"chaos.exempt": "true", "app": "watcher"}), "bridge"),
    ]
}

fn selector(yaml: serde_json::Value) -> Selector {
    serde_json::from_value(yaml).expect("a selector")
}

fn names(yaml: serde_json::Value) -> Vec<String> {
    let containers = containers();
    let mut found = matching::select(&selector(yaml), &containers, &Own::default()).0;
    found.sort_by_key(|c| order(c));
    found.into_iter().map(|c| c.name.clone()).collect()
}

fn nothing(yaml: serde_json::Value) -> String {
    let containers = containers();
    let selector = selector(yaml);
    let (found, never) = matching::select(&selector, &containers, &Own::default());
    assert!(found.is_empty(), "{found:?}");
    matching::nothing(&selector, &containers, &never, "unix:///run/docker.sock").message
}

#[test]
fn each_field_selects_and_all_of_them_must_match() {
    use serde_json::json;
    let rankers = ["shop-ranker-1", "shop-ranker-2", "shop-ranker-10"];
    assert_eq!(names(json!({"compose": {"project": "shop", "service": "ranker"}})), rankers, "by number, and without what was run once");
    assert_eq!(names(json!({"compose": {"service": "ranker"}, "names": ["*-1"]})), ["shop-ranker-1"]);
    assert_eq!(names(json!({"names": ["shop-store-1", "shop-ranker-2"]})), ["shop-ranker-2", "shop-store-1"]);
    assert_eq!(names(json!({"labels": {"app": "store"}})), ["shop-store-1"]);
    assert_eq!(names(json!({"image": "redis"})), ["shop-store-1"], "any tag; what is exempt is never found");
    assert_eq!(names(json!({"image": "redis:7"})), ["shop-store-1"]);
    assert_eq!(names(json!({"image": "*/ranker", "network": "77", "names": ["*-10"]})), ["shop-ranker-10"]);
    assert_eq!(names(json!({"network": "shop_default", "labels": {"app": "store"}})), ["shop-store-1"]);
}

#[test]
fn what_matches_nothing_is_told_with_what_is_nearest() {
    use serde_json::json;
    assert_eq!(
        nothing(json!({"labels": {"app": "rankr"}})),
        "no container has label app=rankr; nearest: app=ranker, app=watcher, app=store"
    );
    assert!(nothing(json!({"names": ["shop-stor-1"]})).starts_with("no container has the name shop-stor-1; nearest: shop-store-1"));
    assert_eq!(
        nothing(json!({"compose": {"project": "shop", "service": "rankers"}})),
        "no container has Compose service shop/rankers; nearest: shop/ranker, shop/store"
    );
    assert_eq!(
        nothing(json!({"image": "redis", "compose": {"service": "ranker"}})),
        "no container has all of Compose service ranker (3 have it), image redis (2 have it)"
    );
    assert!(nothing(json!({"network": "shop"})).ends_with("nearest: shop_default, bridge"));
}

#[test]
fn what_is_exempt_is_said_to_be_so() {
    let said = nothing(serde_json::json!({"names": ["watcher"]}));
    assert_eq!(said, "container watcher is never a target: its label says chaos.exempt=true; nothing else matches");
}

#[test]
fn an_empty_selector_is_refused() {
    let kind = Containers(Docker::with_host("unix:///nowhere").view().clone());
    assert_eq!(kind.check(&Selector::default()).len(), 1);
    let compose = selector(serde_json::json!({"compose": {}}));
    assert_eq!(kind.check(&compose)[0].path, "compose");
}
