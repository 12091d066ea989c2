//! The rules of exposed names, one by one and under any order of arrival.

use proptest::prelude::*;

use super::*;

fn server(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

fn names(prefix: Prefix) -> Names {
    Names::new(&CatalogConfig { prefix, ..CatalogConfig::default() })
}

#[test]
fn the_prefix_mode_decides_how_a_name_begins() {
    for (prefix, first, second) in [
        (Prefix::Always, "a_get", "b_get"),
        (Prefix::OnCollision, "get", "b_get"),
        (Prefix::Never, "get", "get_6qfl5m"),
    ] {
        let mut names = names(prefix);
        assert_eq!(&*names.assign(&server("a"), "get"), first, "{prefix:?}");
        assert_eq!(&*names.assign(&server("b"), "get"), second, "{prefix:?}");
    }
    let mut dashed =
        Names::new(&CatalogConfig { separator: "--".to_owned(), ..CatalogConfig::default() });
    assert_eq!(&*dashed.assign(&server("a"), "get"), "a--get");
}

#[test]
fn characters_that_no_vendor_takes_become_underscores() {
    let mut names = names(Prefix::Always);
    let name = names.assign(&server("My größe/1"), "read file.v2-x\u{1F600}");
    assert_eq!(&*name, "My_gr__e_1_read_file.v2-x_");
}

#[test]
fn a_long_name_keeps_its_front_and_ends_in_a_hash() {
    let mut names = names(Prefix::Always);
    let name = names.assign(&server("github"), &"x".repeat(300));
    assert_eq!(name.len(), 64);
    assert_eq!(&name[..58], format!("github_{}_", "x".repeat(50)));
    let exact = "x".repeat(64 - "github_".len());
    assert_eq!(*names.assign(&server("github"), &exact), format!("github_{exact}"));
}

#[test]
fn a_name_that_another_origin_has_ends_in_a_hash() {
    let mut names = names(Prefix::Always);
    assert_eq!(&*names.assign(&server("a"), "b_c"), "a_b_c");
    let second = names.assign(&server("a_b"), "c");
    assert_eq!(&second[..6], "a_b_c_");
    assert_eq!(second.len(), 12);
    let third = names.assign(&server("a b"), "c");
    assert_ne!(second, third);
}

#[test]
fn a_taken_hash_is_hashed_again() {
    let mut names = names(Prefix::Never);
    let victim = format!("get_{}", tag(&server("b"), "get", 0));
    names.assign(&server("a"), "get");
    assert_eq!(*names.assign(&server("a"), &victim), victim);
    let name = names.assign(&server("b"), "get");
    assert_eq!(*name, format!("get_{}", tag(&server("b"), "get", 1)));
}

#[test]
fn forgetting_a_server_frees_its_names_only() {
    let mut names = names(Prefix::Never);
    names.assign(&server("a"), "get");
    let second = names.assign(&server("b"), "get");
    names.forget(&server("a"));
    names.forget(&server("stranger"));
    assert_eq!(names.get(&server("a"), "get"), None);
    assert_eq!(names.assign(&server("b"), "get"), second, "it stays");
    assert_eq!(&*names.assign(&server("c"), "get"), "get");
}

fn origin() -> impl Strategy<Value = (String, String)> {
    // Few letters, so that names collide often.
    ("[ab_ ü]{0,4}x", "[ab_ ü]{0,20}x").prop_map(|(server, tool)| (server.trim().to_owned(), tool))
}

fn config() -> impl Strategy<Value = CatalogConfig> {
    let prefix = prop_oneof![Just(Prefix::Always), Just(Prefix::OnCollision), Just(Prefix::Never)];
    (prefix, 16_usize..=32).prop_map(|(prefix, max_name_length)| CatalogConfig {
        prefix,
        max_name_length,
        ..CatalogConfig::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn names_are_unique_short_clean_and_stay(
        config in config(),
        origins in prop::collection::vec(origin(), 1..40),
        forgotten in origin(),
    ) {
        let mut names = Names::new(&config);
        let mut given: HashMap<(String, String), Arc<str>> = HashMap::new();
        for (owner, tool) in &origins {
            let name = names.assign(&server(owner), tool);
            prop_assert!((1..=config.max_name_length).contains(&name.len()));
            prop_assert!(name.chars().all(is_allowed), "{}", name);
            given.insert((owner.clone(), tool.clone()), name);
        }
        let distinct: HashSet<_> = given.values().collect();
        prop_assert_eq!(distinct.len(), given.len());
        names.forget(&server(&forgotten.0));
        for ((owner, tool), name) in given {
            if owner != forgotten.0 {
                prop_assert_eq!(names.assign(&server(&owner), &tool), name);
            }
        }
    }

    #[test]
    fn a_name_does_not_depend_on_who_comes_later(
        config in config(),
        first in origin(),
        others in prop::collection::vec(origin(), 0..20),
    ) {
        let mut alone = Names::new(&config);
        let name = alone.assign(&server(&first.0), &first.1);
        for (owner, tool) in others {
            alone.assign(&server(&owner), &tool);
        }
        prop_assert_eq!(alone.get(&server(&first.0), &first.1), Some(name));
    }
}

#[test]
fn a_prefix_tells_which_server_may_bring_a_name() {
    let names = Names::new(&CatalogConfig::default());
    let server = ServerName::new("My Server").unwrap();
    assert!(names.may_be_of(&server, "My_Server_anything"));
    assert!(!names.may_be_of(&server, "My_Other_thing"));
    let long = ServerName::new("x".repeat(100)).unwrap();
    assert!(names.may_be_of(&long, &"x".repeat(57)));
}
