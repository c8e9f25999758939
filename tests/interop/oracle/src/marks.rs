//! A fixed course of appends and fences in a new store: what is visible and how far the marks are after each step.

use std::path::Path;

use batpak::coordinate::Region;
use batpak::event::EventKind;
use batpak::store::{HlcPoint, Open, Store};
use serde_json::{json, Value as Json};

use crate::session::coordinate;
use crate::setup::Setup;
use crate::Failure;

pub fn course(directory: &Path) -> Result<Json, Failure> {
    let store = Store::open(Setup::default().config(directory)).map_err(Failure::open)?;
    let place = coordinate("order:1", "shop");
    let kind = EventKind::custom(1, 1);
    let mut steps = vec![seen(&store)];
    drop(store.append(&place, kind, &1)?);
    steps.push(seen(&store));
    store.sync()?;
    steps.push(seen(&store));
    for keep in [true, false] {
        let fence = store.begin_visibility_fence()?;
        steps.push(seen(&store));
        for number in 0..2 {
            drop(fence.submit(&place, kind, &number)?);
        }
        store.sync()?; // which is behind the submits in the queue
        steps.push(seen(&store));
        if keep {
            fence.commit()?
        } else {
            fence.cancel()?
        }
        steps.push(seen(&store));
    }
    drop(store.append(&place, kind, &2)?);
    steps.push(seen(&store));
    store.close()?;
    Ok(json!(steps))
}

fn seen(store: &Store<Open>) -> Json {
    let frontier = store.frontier();
    let number = |point: HlcPoint| point.global_sequence;
    json!({
        "visible": store.query(&Region::all()).iter().map(|one| one.global_sequence()).collect::<Vec<_>>(),
        "latest": store.latest_lane("order:1", 0).map(|one| one.global_sequence()),
        "marks": [
            number(frontier.accepted_hlc), number(frontier.written_hlc), number(frontier.durable_hlc),
            number(frontier.visible_hlc),
        ],
    })
}
