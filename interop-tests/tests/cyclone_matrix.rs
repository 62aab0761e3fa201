//! Unmodified C applications of Cyclone DDS, over the network and over the plugin: the same results,
//! for every kind of type, QoS and write.

#![allow(clippy::unwrap_used, reason = "tests")]

use interop_tests::{Need, Scenario, assert_alike, in_namespace};

/// Types of which the C structure is the sample, and those that are serialised.
const KINDS: [&str; 10] = [
    "Fixed64",
    "KeyedByNumber",
    "KeyedByTwo",
    "Large",
    "KeyedByName",
    "Letter",
    "Blob",
    "Nested",
    "Growing",
    "Changing",
];
const KEYED: [&str; 6] =
    ["KeyedByNumber", "KeyedByTwo", "KeyedByName", "Nested", "Growing", "Changing"];
/// One whose memory is the sample, one that is serialised, and one without a key.
const FEW: [&str; 3] = ["KeyedByNumber", "KeyedByName", "Fixed64"];

/// A writer and a reader of this QoS, matched.
fn pair(kind: &str, writer: &str, reader: &str) -> String {
    format!(
        "r reader r {kind} {{topic}} {reader}
         w writer w {kind} {{topic}} {writer}
         w matched w 1
         r matched r 1
        "
    )
}

/// What is written last, and shows that everything before has come.
const END: &str = "w write w 60 1000000 1
    ";

#[test]
fn every_kind_of_type_by_every_kind_of_write_and_take() {
    in_namespace!([Need::CycloneC], || {
        let mut scenarios = Vec::new();
        for kind in KINDS {
            for (write, take) in [("write", "loan"), ("loan", "copy"), ("cdr", "cdr")] {
                scenarios.push(Scenario::new(
                    format!("{kind} {write} {take}"),
                    pair(kind, "keep-all", "keep-all")
                        + &format!("w write w 1 1 5 mode={write} ids=2 at=1000\n")
                        + END
                        + &format!("r take r ends=1 mode={take}"),
                ));
            }
        }
        for (kind, size) in [
            ("Letter", 0),
            ("Letter", 70_000),
            ("Blob", 0),
            ("Blob", 65_000),
            ("Blob", 3_000_000),
            ("KeyedByName", 5_000),
            ("Nested", 20_000),
        ] {
            scenarios.push(Scenario::new(
                format!("{kind} of {size}"),
                pair(kind, "keep-all", "keep-all")
                    + &format!("w write w 1 1 4 size={size}\n")
                    + END
                    + "r take r ends=1",
            ));
        }
        assert_alike(&scenarios);
    });
}

#[test]
fn instances_live_and_die() {
    in_namespace!([Need::CycloneC], || {
        let scenario = |kind, mode, (name, writer, steps): (&str, &str, &str)| {
            let steps = steps.replace("MODE", &format!("mode={mode}"));
            Scenario::new(
                format!("{kind} {mode} {name}"),
                pair(kind, &format!("keep-all {writer}"), "keep-all") + &steps,
            )
        };
        let end_and_take = format!("{END}r take r ends=1\n");
        let life = format!(
            "w write w 1 1 2 MODE at=100
             w dispose w 1 at=200
             w write w 1 3 1 MODE at=300
             w unregister w 1 at=400
             w write w 2 4 1 MODE at=500
             w writedispose w 2 at=600
             w dispose w 3 at=700
             w unregister w 3 at=800
             {end_and_take}"
        );
        let seen_between = format!(
            "w write w 1 1 1 MODE at=100
             r take r count=1
             w unregister w 1 at=200
             w write w 1 2 1 MODE at=300
             {end_and_take}
             w dispose w 1 at=400
             w write w 61 1000001 1
             r take r ends=1
             w write w 1 3 1 at=500
             w write w 61 1000002 1
             r take r ends=1"
        );
        let deleted = "w write w 1 1 1 MODE at=100
             r take r count=1
             w delete w
             r matched r 0
             r take r"
            .to_owned();
        let cases = [
            ("dispose and unregister", "", life.as_str()),
            ("unregister alone", "keep-instances", life.as_str()),
            ("generations", "keep-instances", seen_between.as_str()),
            ("writer deleted", "keep-instances", deleted.as_str()),
            ("writer deleted, disposing", "", deleted.as_str()),
        ];
        let mut scenarios = Vec::new();
        for kind in KEYED {
            for case in cases {
                scenarios.push(scenario(kind, "write", case));
            }
        }
        for kind in FEW {
            for mode in ["loan", "cdr"] {
                scenarios.push(scenario(kind, mode, cases[0]));
            }
        }
        assert_alike(&scenarios);
    });
}

#[test]
fn every_qos() {
    in_namespace!([Need::CycloneC], || {
        let write_and_take = format!("w write w 1 1 10 ids=2\n{END}r take r ends=1\n");
        let nothing_comes = "w write w 1 1 3
             w sleep 100
             r take r
             w status w
             r status r";
        let matching = [
            ("depth 1", "depth=1", "depth=1"),
            ("depth 3", "depth=3", "depth=3"),
            ("reader keeps all", "depth=20", "keep-all"),
            ("writer keeps all", "keep-all", "depth=2"),
            ("best effort", "best-effort depth=10", "best-effort depth=10"),
            ("reader best effort", "depth=10", "best-effort depth=10"),
            ("limits", "keep-all", "keep-all limit=20"),
            ("partition", "keep-all partition=a", "keep-all partition=a"),
            ("two partitions", "keep-all partition=a,b", "keep-all partition=b,c"),
            ("two equal partitions", "keep-all partition=a,b", "keep-all partition=a,b"),
            ("any partition", "keep-all partition=ab", "keep-all partition=a*"),
            ("no plugin at the writer", "keep-all psmx=", "keep-all"),
            ("no plugin at the reader", "keep-all", "keep-all psmx="),
            ("liveliness", "keep-all manual=500", "keep-all manual=1000"),
            ("deadline", "keep-all deadline=1000", "keep-all deadline=2000"),
            ("exclusive", "keep-all exclusive strength=3", "keep-all exclusive"),
            ("reader volatile", "keep-all transient-local", "keep-all"),
        ];
        let not_matching = [
            ("reliability", "best-effort", ""),
            ("durability", "", "transient-local"),
            ("ownership", "exclusive", ""),
            ("deadline offered", "deadline=1000", "deadline=500"),
            ("liveliness offered", "manual=1000", "manual=500"),
            ("order", "", "by-source"),
            ("other partition", "partition=a", "partition=b"),
            ("no partition", "", "partition=b"),
            ("wildcard against none", "partition=a?", "partition=b*"),
        ];
        // Two that come late: before the last sample, and after it.
        let history = |writer: &str, reader: &str, late: &str| {
            format!(
                "w writer w KIND {{topic}} {writer}
                 w write w 1 1 8 ids=2
                 w write w 5 9 1
                 w dispose w 5
                 r reader r KIND {{topic}} {reader}
                 r matched r 1
                 w matched w 1
                 {END}
                 r take r ends=1
                 r reader r2 KIND {{topic}} {reader}
                 r matched r2 1
                 w matched w 2
                 r ?take r2 {late}"
            )
        };
        let special = [
            (
                "late joiner",
                history("transient-local depth=3", "transient-local depth=3", "ends=1"),
            ),
            (
                "late joiner, all",
                history("transient-local keep-all", "transient-local keep-all", "ends=1"),
            ),
            (
                "late joiner keeps less",
                history("transient-local depth=3", "transient-local depth=1", "ends=1"),
            ),
            (
                "late joiner is volatile",
                history("transient-local depth=3", "depth=10", "within=100 count=1"),
            ),
            ("late joiner of none", history("depth=3", "depth=10", "within=100 count=1")),
            (
                "both before and after",
                format!(
                    "r reader early KIND {{topic}} transient-local keep-all
                     w writer w KIND {{topic}} transient-local keep-all
                     w matched w 1
                     w write w 1 1 5
                     {END}
                     r take early ends=1
                     r reader late KIND {{topic}} transient-local keep-all
                     r take late ends=1
                     r matched late 1
                     w matched w 2
                     w write w 2 6 3
                     w write w 60 1000001 1
                     r take early ends=1
                     r take late ends=1"
                ),
            ),
            (
                "the strongest writes",
                "r reader r KIND {topic} keep-all exclusive
                 w writer weak KIND {topic} keep-all exclusive strength=1
                 w writer strong KIND {topic} keep-all exclusive strength=2
                 r matched r 2
                 w matched weak 1
                 w matched strong 1
                 w write strong 1 1 2
                 r take r count=2
                 w write weak 1 3 2
                 w write strong 1 5 1
                 r take r count=1
                 w sleep 50
                 r take r
                 w delete strong
                 r matched r 1
                 r take r
                 w write weak 1 6 2
                 r take r count=2"
                    .to_owned(),
            ),
            (
                "lifespan",
                "r reader r KIND {topic} keep-all
                 r reader slow KIND {topic} keep-all
                 w writer w KIND {topic} keep-all lifespan=600
                 w matched w 2
                 r matched r 1
                 r matched slow 1
                 w write w 1 1 3
                 r take r count=3
                 r sleep 700
                 r take slow"
                    .to_owned(),
            ),
            (
                "by source timestamp",
                pair("KIND", "keep-all by-source", "depth=1 by-source")
                    + "w write w 1 1 1 at=3000
                       w write w 1 2 1 at=2000
                       w write w 1 3 1 at=2500\n"
                    + END
                    + "r take r ends=1",
            ),
            (
                "many writers",
                "r reader r KIND {topic} keep-all
                 w writer w1 KIND {topic} keep-all
                 w writer w2 KIND {topic} keep-all
                 w writer w3 KIND {topic} keep-all
                 r matched r 3
                 w matched w1 1
                 w matched w2 1
                 w matched w3 1
                 w write w1 1 1 3
                 r take r count=3
                 w write w2 1 4 3
                 r take r count=3
                 w write w3 2 7 3
                 r take r count=3
                 w delete w2
                 r matched r 2
                 w write w1 1 10 3
                 r take r count=3"
                    .to_owned(),
            ),
            (
                "reader of the same process too",
                pair("KIND", "keep-all", "keep-all")
                    + "w reader own KIND {topic} keep-all
                       w matched w 2
                       w write w 1 1 3\n"
                    + END
                    + "r take r ends=1
                       w take own ends=1",
            ),
            (
                "a reader comes and goes",
                pair("KIND", "keep-all", "keep-all")
                    + "w write w 1 1 2
                       r take r count=2
                       r delete r
                       w matched w 0
                       w write w 1 3 2
                       r reader r KIND {topic} keep-all
                       w matched w 1
                       r matched r 1
                       w write w 1 5 2
                       r take r count=2",
            ),
        ];
        let mut scenarios = Vec::new();
        for kind in FEW {
            for (name, writer, reader) in matching {
                scenarios.push(Scenario::new(
                    format!("{kind} {name}"),
                    pair(kind, writer, reader) + &write_and_take,
                ));
            }
            for (name, script) in &special {
                let script = script.replace("KIND", kind);
                // Without a key, what is disposed is everything, and when that is seen is chance.
                let keep = |line: &&str| kind != "Fixed64" || !line.contains(" dispose ");
                let lines: Vec<_> = script.lines().filter(keep).collect();
                scenarios.push(Scenario::new(format!("{kind} {name}"), lines.join("\n")));
            }
        }
        for (name, writer, reader) in not_matching {
            scenarios.push(Scenario::new(
                format!("not alike in {name}"),
                format!(
                    "r reader r KeyedByNumber {{topic}} {reader}
                     w writer w KeyedByNumber {{topic}} {writer}
                     {nothing_comes}"
                ),
            ));
        }
        assert_alike(&scenarios);
    });
}
