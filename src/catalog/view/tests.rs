//! What a view shows, in which order, and how it is paged.

use proptest::prelude::*;

use super::*;
use crate::catalog::{CatalogConfig, Prefix, ToolFilter};

/// A server with its tools and place.
#[derive(Clone, Debug)]
struct Server {
    name: ServerName,
    order: i32,
    catalog: Catalog,
    filter: ToolMatcher,
}

fn server(name: &str, order: i32, tools: &[&str]) -> Server {
    Server {
        name: ServerName::new(name).unwrap(),
        order,
        catalog: tools.iter().map(|tool| Item::sample(tool, "text")).collect::<Vec<_>>().into(),
        filter: ToolMatcher::default(),
    }
}

fn members(servers: &[Server]) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    for server in servers {
        members.push(Member {
            server: &server.name,
            order: server.order,
            catalog: &server.catalog,
            filter: &server.filter,
        });
    }
    members
}

fn names(prefix: Prefix) -> Names {
    Names::new(&CatalogConfig { prefix, ..CatalogConfig::default() })
}

fn matcher(allow: &[&str], deny: &[&str]) -> ToolMatcher {
    let owned = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
    let filter = ToolFilter { allow: owned(allow), deny: owned(deny) };
    filter.matcher().unwrap()
}

fn build(servers: &[Server]) -> View {
    View::build(&members(servers), &ToolMatcher::default(), &mut names(Prefix::Always))
}

fn exposed(view: &View) -> Vec<&str> {
    view.tools().iter().map(|tool| &*tool.exposed).collect()
}

#[test]
fn a_name_that_is_nearly_right_leads_to_the_one_that_was_meant() {
    let servers = [
        server("github", 0, &["create_issue", "get_file"]),
        server("search", 0, &["find", "get_file"]),
    ];
    let view = View::build(&members(&servers), &ToolMatcher::default(), &mut names(Prefix::Always));
    for (given, meant) in [
        ("github_create_isue", Some("github_create_issue")),
        ("Github_Create_Issue", Some("github_create_issue")),
        ("find", Some("search_find")),
        ("get_file", None),
        ("weather", None),
    ] {
        assert_eq!(view.near(Primitive::Tool, given), meant, "{given}");
    }
    assert_eq!(view.near(Primitive::Tool, &"github_create_issue".repeat(10)), None);
}

#[test]
fn order_then_server_then_the_servers_own_order() {
    let view =
        build(&[server("b", 0, &["z", "a"]), server("c", -1, &["x"]), server("a", 0, &["y"])]);
    assert_eq!(exposed(&view), ["c_x", "a_y", "b_z", "b_a"]);
    let tool = view.resolve("b_z").unwrap();
    assert_eq!((tool.server.as_str(), &*tool.upstream), ("b", "z"));
    assert!(view.resolve("z").is_none());
}

#[test]
fn servers_are_filtered_by_their_own_names_and_agents_by_exposed_ones() {
    let mut servers = [server("a", 0, &["get", "set"]), server("b", 0, &["get", "set"])];
    servers[0].filter = matcher(&["*"], &["set"]);
    let view =
        View::build(&members(&servers), &matcher(&["*"], &["b_get"]), &mut names(Prefix::Always));
    assert_eq!(exposed(&view), ["a_get", "b_set"]);
}

#[test]
fn only_the_name_of_a_definition_changes() {
    let text = r#"{"title":"T","name":"get","inputSchema":{"max": 1e400},"x":"\u00e9"}"#;
    let raw = RawValue::from_string(text.to_owned()).unwrap();
    let mut servers = [server("a", 0, &[])];
    servers[0].catalog = vec![Item::read(Primitive::Tool, &raw).unwrap()].into();
    assert_eq!(build(&servers).tools()[0].raw.get(), text.replace("get", "a_get"));
    let plain = View::build(&members(&servers), &ToolMatcher::default(), &mut names(Prefix::Never));
    let kept = &servers[0].catalog.tools()[0].raw;
    assert!(Arc::ptr_eq(&plain.tools()[0].raw, kept));
}

#[test]
fn a_rebuild_equals_a_build_and_takes_over_what_did_not_change() {
    let mut names = names(Prefix::Always);
    let all = ToolMatcher::default();
    let mut servers = vec![server("a", 0, &["x", "y"]), server("b", 0, &["x"])];
    let before = View::build(&members(&servers), &all, &mut names);
    servers[1].catalog = vec![Item::sample("x", "changed")].into();
    servers.insert(0, server("A", 0, &["new"]));
    let after = before.rebuild(&members(&servers), &all, &mut names);
    let anew = View::build(&members(&servers), &all, &mut names);
    assert_eq!(after.hash(), anew.hash());
    assert_ne!(after.hash(), before.hash());
    let shared = |name: &str| {
        let raw = |view: &View| Arc::clone(&view.resolve(name).unwrap().raw);
        Arc::ptr_eq(&raw(&before), &raw(&after))
    };
    assert!(shared("a_x") && shared("a_y") && !shared("b_x"));
}

#[test]
fn a_name_that_went_to_another_server_leads_there() {
    let mut names = names(Prefix::Never);
    let all = ToolMatcher::default();
    let (old, new) = ([server("a", 0, &["x"])], [server("b", 0, &["x"])]);
    let before = View::build(&members(&old), &all, &mut names);
    names.forget(&old[0].name);
    let after = before.rebuild(&members(&new), &all, &mut names);
    assert_eq!(after.resolve("x").unwrap().server, new[0].name);
}

#[test]
fn the_hash_changes_with_what_is_seen_and_where_it_goes() {
    let base = build(&[server("a", 0, &["x", "y"])]);
    assert_eq!(base.hash(), build(&[server("a", 3, &["x", "y"])]).hash());
    assert_ne!(base.hash(), build(&[server("a", 0, &["y", "x"])]).hash());
    assert_eq!(View::default().hash(), build(&[]).hash());
    let never = |name| {
        let servers = [server(name, 0, &["x"])];
        View::build(&members(&servers), &ToolMatcher::default(), &mut names(Prefix::Never))
    };
    assert_ne!(never("a").hash(), never("b").hash());
}

#[test]
fn a_page_after_an_unknown_name_is_none() {
    let view = build(&[server("a", 0, &["x", "y"])]);
    assert!(view.page(Primitive::Tool, Some("a_z"), 10).is_none());
    let last = view.page(Primitive::Tool, Some("a_y"), 10).unwrap();
    assert!(last.items.is_empty() && last.next.is_none());
    let one = view.page(Primitive::Tool, None, 0).unwrap();
    assert_eq!((one.items.len(), one.next), (1, Some("a_x")));
    assert!(View::default().page(Primitive::Tool, None, 10).unwrap().items.is_empty());
}

fn servers() -> impl Strategy<Value = Vec<Server>> {
    let tools = prop::collection::vec("[ab_]{1,3}", 0..6);
    prop::collection::btree_map("[ab_]{1,3}", (-1_i32..2, tools), 0..6).prop_map(|servers| {
        let server = |(name, (order, tools)): (String, (i32, Vec<String>))| {
            let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
            server(&name, order, &tools)
        };
        servers.into_iter().map(server).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_arrival_changes_nothing(
        (servers, shuffled) in servers()
            .prop_flat_map(|servers| (Just(servers.clone()), Just(servers).prop_shuffle())),
    ) {
        prop_assert_eq!(build(&servers).hash(), build(&shuffled).hash());
    }

    #[test]
    fn servers_that_come_one_by_one_leave_the_others_names_and_order(
        servers in servers().prop_shuffle(),
    ) {
        let mut names = names(Prefix::OnCollision);
        let all = ToolMatcher::default();
        let mut before = View::default();
        for count in 0..=servers.len() {
            let after = before.rebuild(&members(&servers[..count]), &all, &mut names);
            let kept: Vec<&str> = exposed(&after)
                .into_iter()
                .filter(|name| before.resolve(name).is_some())
                .collect();
            prop_assert_eq!(kept, exposed(&before));
            for tool in before.tools() {
                let now = after.resolve(&tool.exposed).unwrap();
                prop_assert_eq!((&now.server, &now.upstream), (&tool.server, &tool.upstream));
            }
            before = after;
        }
        let offered: usize = servers.iter().map(|server| server.catalog.tools().len()).sum();
        prop_assert_eq!(before.tools().len(), offered);
    }

    #[test]
    fn a_walk_over_the_pages_visits_each_tool_once(servers in servers(), limit in 0_usize..8) {
        let view = build(&servers);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = view.page(Primitive::Tool, after, limit).unwrap();
            prop_assert!(page.items.len() <= limit.max(1));
            seen.extend(page.items.iter().map(|tool| &*tool.exposed));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(seen, exposed(&view));
    }
}

#[test]
fn our_own_tools_stand_last_and_nobody_else_has_their_names() {
    let servers = [server("switchboard", 0, &["status"]), server("zoo", 9, &["switchboard_why"])];
    for prefix in [Prefix::Always, Prefix::OnCollision, Prefix::Never] {
        let filter = ToolMatcher::default();
        let plain = View::build(&members(&servers), &filter, &mut names(prefix));
        let view = plain.clone().with_own(&filter);
        let [first, second, own @ ..] = &*exposed(&view) else { panic!("{view:?}") };
        assert_eq!(own, ["switchboard_status", "switchboard_why"], "{prefix:?}");
        assert!(OwnTool::of(first).is_none() && OwnTool::of(second).is_none(), "{prefix:?}");
        assert_eq!(exposed(&plain), [*first, *second], "switched on, nobody is renamed");
        assert_ne!(plain.hash(), view.hash());
        for (name, tool) in
            [("switchboard_status", OwnTool::Status), ("switchboard_why", OwnTool::Why)]
        {
            assert_eq!(OwnTool::of(name), Some(tool));
            assert_eq!(view.resolve(name).unwrap().raw.get(), tool.definition().get());
        }
    }
    let hidden = build(&[]).with_own(&matcher(&["*"], &["*_why"]));
    assert_eq!(exposed(&hidden), ["switchboard_status"]);
}

#[test]
fn names_follow_the_rules_that_they_were_chosen_by() {
    let chosen = names(Prefix::Always);
    let config = CatalogConfig::default();
    assert!(chosen.follows(&CatalogConfig { introspection: true, ..config.clone() }));
    for other in [
        CatalogConfig { prefix: Prefix::Never, ..config.clone() },
        CatalogConfig { separator: "__".to_owned(), ..config.clone() },
        CatalogConfig { max_name_length: 32, ..config },
    ] {
        assert!(!chosen.follows(&other));
    }
}

fn addresses(server: &mut Server, primitive: Primitive, uris: &[&str]) {
    let items = uris.iter().map(|uri| {
        let json = serde_json::json!({ primitive.key(): uri, "title": "n" });
        Item::read(primitive, &crate::wire::raw(&json)).unwrap()
    });
    let mut all = Each::of(|primitive| server.catalog.items(primitive).to_vec());
    *all.get_mut(primitive) = items.collect();
    server.catalog = Catalog::new(all);
}

#[test]
fn a_uri_that_two_servers_have_names_the_second_one() {
    let mut servers = [server("a", 0, &[]), server("b", 0, &["t"])];
    let ui = r#"{"name":"t","inputSchema":{},"_meta":{"ui":{"resourceUri":"x:1"}}}"#;
    let tool = RawValue::from_string(ui.to_owned()).unwrap();
    servers[1].catalog = vec![Item::read(Primitive::Tool, &tool).unwrap()].into();
    addresses(&mut servers[0], Primitive::Resource, &["x:1", "x:2"]);
    addresses(&mut servers[1], Primitive::Resource, &["x:1", "x:3"]);
    let view = build(&servers);
    let uris: Vec<_> = view.items(Primitive::Resource).iter().map(|it| &*it.exposed).collect();
    assert_eq!(uris, ["x:1", "x:2", "switchboard+b:x:1", "x:3"]);
    for (uri, server, there) in [
        ("x:1", "a", "x:1"),
        ("switchboard+b:x:1", "b", "x:1"),
        ("x:3", "b", "x:3"),
        ("switchboard+b:x:9", "b", "x:9"),
    ] {
        let (found, upstream) = view.resource(uri).unwrap();
        assert_eq!((found.as_str(), upstream), (server, there), "{uri}");
    }
    assert_eq!(view.resource("x:9"), None, "never by guess");
    assert_eq!(view.resource("switchboard+c:x:1"), None, "not of another view");
    let (a, b) = (&servers[0].name, &servers[1].name);
    let result = RawValue::from_string(r#"{"contents":[{"uri":"x:1"}]}"#.to_owned()).unwrap();
    assert!(view.readdressed(a, &result).is_none());
    let changed = view.readdressed(b, &result).unwrap();
    assert_eq!(changed.get(), r#"{"contents":[{"uri":"switchboard+b:x:1"}]}"#);
    assert!(view.tools()[0].raw.get().contains("switchboard+b:x:1"));
}

#[test]
fn the_first_template_that_may_give_a_uri_says_whose_it_is() {
    let mut servers = [server("a", 0, &[]), server("b", 0, &[])];
    addresses(&mut servers[0], Primitive::Template, &["db://{table}", "log://{day}"]);
    addresses(&mut servers[1], Primitive::Template, &["db://{table}/{row}", "log://{day}"]);
    let view = build(&servers);
    let of = |uri: &str| view.by_template(uri).map(ServerName::as_str);
    assert_eq!(of("db://t"), Some("a"));
    assert_eq!(of("db://t/1"), Some("b"));
    assert_eq!(of("log://monday"), Some("a"));
    assert_eq!(of("file:///x"), None);
}

#[test]
fn no_server_speaks_for_another() {
    let mut servers = [server("a", 0, &[]), server("b", 0, &[])];
    addresses(&mut servers[0], Primitive::Resource, &["switchboard+b:x:1", "switchboard+b:x:2"]);
    addresses(&mut servers[1], Primitive::Resource, &["x:1"]);
    let view = build(&servers);
    let of = |uri: &str| {
        view.resource(uri).map(|(server, there)| (server.to_string(), there.to_owned()))
    };
    for uri in ["x:1", "x:2"] {
        let told = format!("switchboard+b:{uri}");
        assert_eq!(of(&told), Some(("b".to_owned(), uri.to_owned())));
        let own = (String::from("a"), told.clone());
        assert_eq!(of(&format!("switchboard+a:{told}")), Some(own));
    }
}

#[test]
fn what_a_link_of_one_server_means_is_not_anothers_to_claim() {
    let mut servers = [server("a", 0, &[]), server("b", 0, &[])];
    addresses(&mut servers[0], Primitive::Template, &["file:///{+path}"]);
    let view = build(&servers);
    let link = r#"{"content":[{"type":"resource_link","uri":"file:///x","name":"x"}]}"#;
    let link = RawValue::from_string(link.to_owned()).unwrap();
    let told = view.readdressed(&servers[1].name, &link).unwrap();
    assert!(told.get().contains("switchboard+b:file:///x"), "{told}");
    assert!(view.readdressed(&servers[0].name, &link).is_none());
    assert_eq!(view.by_template(&format!("file:///{}", "x".repeat(9000))), None, "too long");
}

#[test]
fn links_that_take_too_long_to_place_lead_to_their_server() {
    let mut servers = [server("a", 0, &[]), server("b", 0, &[])];
    let templates: Vec<_> = (0..256).map(|n| format!("x:{{+a}}Z{n}")).collect();
    let templates: Vec<_> = templates.iter().map(String::as_str).collect();
    addresses(&mut servers[0], Primitive::Template, &templates);
    let view = build(&servers);
    let uri = format!("x:{}", "q".repeat(500));
    let link = format!(r#"{{"type":"resource_link","uri":"{uri}","name":"n"}}"#);
    let links = vec![link; 100].join(",");
    let links = RawValue::from_string(format!(r#"{{"content":[{links}]}}"#)).unwrap();
    let told = view.readdressed(&servers[1].name, &links).unwrap();
    let qualified = told.get().matches(&format!("switchboard+b:{uri}")).count();
    assert!((50..90).contains(&qualified), "{qualified}: the first ones were found to be nobody's");
    assert_eq!(told.get().matches(&uri).count(), 100);
}

#[test]
fn kinds_change_apart() {
    let mut servers = [server("a", 0, &["t"])];
    let before = build(&servers);
    addresses(&mut servers[0], Primitive::Prompt, &["p"]);
    let after = build(&servers);
    assert_ne!(before.hash(), after.hash());
    assert_eq!(before.hash_of(Primitive::Tool), after.hash_of(Primitive::Tool));
    assert_ne!(before.hash_of(Primitive::Prompt), after.hash_of(Primitive::Prompt));
    assert_eq!(&*after.items(Primitive::Prompt)[0].exposed, "a_p");
}
