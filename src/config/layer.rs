//! Layers of keys, later ones on top of earlier ones, and what came from where.
//!
//! figment merges; this module hands it trees and reads back the tags that it keeps.

use std::path::PathBuf;

use super::{
    parse::Tree,
    path::{KeyPath, Origins},
};
use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value as Tagged},
};

/// One source of keys, in our own dialect.
#[derive(Clone)]
pub(crate) struct Layer {
    /// What origins and problems call it.
    pub(crate) name: String,
    /// What its relative paths start from.
    pub(crate) folder: PathBuf,
    /// Its keys.
    pub(crate) tree: Tree,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let value = Tagged::serialize(&self.tree)?;
        Ok(Profile::Default.collect(value.into_dict().unwrap_or_default()))
    }
}

/// All layers as one tree, and the layer of each value. Tables are merged key by key; a list is
/// replaced as a whole.
pub(crate) fn merge(layers: &[Layer]) -> Result<(Tree, Origins), String> {
    let merged = layers.iter().fold(Figment::new(), |merged, layer| merged.merge(layer.clone()));
    let root = merged.find_value("").map_err(|error| error.to_string())?;
    let mut origins = Origins::default();
    trace(&root, &KeyPath::default(), &merged, &mut origins);
    let tree = serde_json::to_value(&root).and_then(serde_json::from_value);
    Ok((tree.map_err(|error| error.to_string())?, origins))
}

fn trace(value: &Tagged, path: &KeyPath, merged: &Figment, origins: &mut Origins) {
    match value.as_dict() {
        Some(table) if !table.is_empty() => {
            for (key, value) in table {
                trace(value, &path.join(key), merged, origins);
            }
        }
        Some(_) | None => {
            if let Some(layer) = merged.get_metadata(value.tag()) {
                origins.insert(path.clone(), &layer.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer(name: &str, tree: Value) -> Layer {
        Layer {
            name: name.to_owned(),
            folder: PathBuf::new(),
            tree: serde_json::from_value(tree).unwrap(),
        }
    }

    #[test]
    fn later_layers_win_key_by_key_and_every_value_knows_its_layer() {
        let (tree, origins) = merge(&[
            layer("one", json!({"a": {"x": 1, "list": [1, 2]}, "io.github/b": {"y": 2}})),
            layer("two", json!({"a": {"list": [3]}, "c": {}})),
        ])
        .unwrap();
        assert_eq!(
            Value::Object(tree),
            json!({"a": {"x": 1, "list": [3]}, "io.github/b": {"y": 2}, "c": {}})
        );
        let a = KeyPath::root("a");
        assert_eq!(origins.get(&a.join("x")), Some("one"));
        assert_eq!(origins.get(&a.join("list")), Some("two"));
        assert_eq!(origins.get(&KeyPath::root("io.github/b").join("y")), Some("one"));
    }
}
