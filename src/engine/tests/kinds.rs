//! Kinds of records that are more than one distribution, through the engine and its restarts.

use super::*;

const ENSEMBLE: Kind = Kind::Ensemble {
    members: None,
    max_members: 10,
};
const TOP_K: Kind = Kind::TopK {
    vocabulary: 64,
    max_tokens: 10,
};

/// The value of record `i`: something else each time.
fn value(kind: Kind, i: i64) -> String {
    let p = (i % 7 + 1) as f64 / 10.0;
    let numbers = match kind {
        Kind::Ensemble { .. } => format!("[[{p}, {}], [0.5, 0.5]]", 1.0 - p),
        Kind::TopK { .. } => format!(r#"[{{"a": {}, "b": -9999}}, [-0.25]]"#, p.ln()),
        _ => format!(r#"{{"b": {p}, "a": 0.5}}"#),
    };
    let time_ms = HOUR_MS + i * 1_000;
    format!(r#"{{"p": {numbers}, "t": {time_ms}, "v": "{}"}}"#, i % 2)
}

fn of(kind: Kind) -> ModelSpec {
    let mut spec = spec(TIME);
    spec.decoder.kind = kind;
    spec
}

/// What is said of 200 records, with a restart from a checkpoint after every so many.
fn said(spec: &ModelSpec, restart_after: i64) -> Vec<String> {
    let (mut engine, mut ids) = engine(spec, 1);
    let (mut said, mut baseline) = (Vec::new(), None);
    for i in 0..200 {
        let refused = hand_in(&mut engine, ids[0], i, &value(spec.decoder.kind, i));
        assert!(!refused, "{}", value(spec.decoder.kind, i));
        engine.step(0);
        collect(&mut engine, &mut said, &mut baseline);
        if i % restart_after == restart_after - 1 {
            let bytes = engine.checkpoint();
            (engine, ids) = super::engine(spec, 1);
            assert_eq!(engine.restore(&bytes).unwrap(), Vec::<String>::new());
            engine.set_baseline("m", baseline.clone());
        }
    }
    engine.finish();
    collect(&mut engine, &mut said, &mut baseline);
    said
}

#[test]
fn restarts_change_nothing_of_any_kind() {
    for (kind, measure, absent) in [
        (ENSEMBLE, "\"disagreement\":0.", "\"token_entropy\""),
        (Kind::Multilabel, "\"kl\":0.", "\"perplexity\""),
        (TOP_K, "\"token_entropy_most\":", "\"kl\""),
    ] {
        let spec = of(kind);
        let whole = said(&spec, 1_000);
        assert_eq!(said(&spec, 17), whole);
        let windows: Vec<&String> = whole
            .iter()
            .filter(|w| w.contains("\"measures\""))
            .collect();
        let last = windows.last().unwrap();
        assert!(last.contains(measure) && !last.contains(absent), "{last}");
        assert!(last.contains("\"baseline\":{"), "it learns: {last}");
    }
}

/// Sums over labels and of distributions cannot be told apart once they are merged.
#[test]
fn streams_of_another_kind_begin_anew() {
    let (mut before, ids) = engine(&of(Kind::Multilabel), 1);
    for i in 0..60 {
        assert!(!hand_in(
            &mut before,
            ids[0],
            i,
            &value(Kind::Multilabel, i)
        ));
        before.step(0);
        before.take_outputs();
    }
    let bytes = before.checkpoint();
    let (mut same, _) = engine(&of(Kind::Multilabel), 1);
    assert_eq!(same.restore(&bytes).unwrap(), Vec::<String>::new());
    let (mut other, _) = engine(&of(Kind::Probabilities), 1);
    let notes = other.restore(&bytes).unwrap();
    assert!(
        notes.iter().any(|note| note.contains("dropped")),
        "{notes:?}"
    );
}
