use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Enough keys for several chunks, few enough that changes meet.
fn steps() -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
    proptest::collection::vec((0_u16..600, proptest::option::weighted(0.7, any::<u8>())), 0..900)
}

fn apply(map: &mut Sorted<u16, u8>, model: &mut BTreeMap<u16, u8>, steps: &[(u16, Option<u8>)]) {
    for (key, value) in steps {
        match value {
            Some(value) => assert_eq!(map.insert(*key, *value), model.insert(*key, *value)),
            None => assert_eq!(map.remove(key), model.remove(key)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_is_the_map_that_the_standard_one_would_be(first in steps(), second in steps(), sought in 0_u16..700) {
        let (mut map, mut model) = (Sorted::default(), BTreeMap::new());
        apply(&mut map, &mut model, &first);
        let (before, before_model) = (map.clone(), model.clone());
        apply(&mut map, &mut model, &second);

        prop_assert_eq!(map.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
        prop_assert_eq!(before.iter().collect::<Vec<_>>(), before_model.iter().collect::<Vec<_>>(), "a copy stays");
        prop_assert_eq!(map.len(), model.len());
        prop_assert_eq!(map.get(&sought), model.get(&sought));
        let from: Vec<_> = map.from(|key| key.cmp(&sought)).collect();
        prop_assert_eq!(from, model.range(sought..).collect::<Vec<_>>());
        prop_assert!(map.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_MAX));

        let keys: std::collections::BTreeSet<_> = before_model.keys().chain(model.keys()).collect();
        let differs = |key: &&u16| before_model.get(key) != model.get(key);
        let expected: Vec<_> =
            keys.into_iter().filter(differs).map(|key| (key, before_model.get(key), model.get(key))).collect();
        prop_assert_eq!(before.diff(&map, |one, other| one == other), expected);
    }
}

#[test]
fn a_change_shares_all_but_one_chunk_and_a_difference_looks_at_no_more() {
    let before: Sorted<u32, u32> = (0..10_000).map(|at| (at, at)).collect();
    for value in [Some(7), None] {
        let mut after = before.clone();
        match value {
            Some(value) => after.insert(5_000, value),
            None => after.remove(&5_000),
        };
        let shared = after.chunks.iter().filter(|chunk| before.chunks.iter().any(|other| Arc::ptr_eq(chunk, other)));
        assert_eq!(shared.count(), before.chunks.len() - 1);
        let looks = std::cell::Cell::new(0);
        let same = |one: &u32, other: &u32| {
            looks.set(looks.get() + 1);
            one == other
        };
        assert_eq!(before.diff(&after, same).len(), 1);
        assert!(looks.get() <= CHUNK_MAX, "{} of 10000 were looked at", looks.get());
    }
}
