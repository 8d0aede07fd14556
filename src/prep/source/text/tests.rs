//! Compares the fast ways to parse rows with the one that splits every line into cells.

use proptest::prelude::*;

use crate::source::columns::Role;
use crate::source::text::parse::parse_rows;
use crate::source::text::rows::{RowFormat, Rows, Slot, Store, Wrong};
use crate::time_unit::TimeUnit;

fn format(roles: &[Role], separator: Option<u8>, time: Store, unit: TimeUnit) -> RowFormat {
    let slot = |&role: &Role| {
        let store = if role == Role::T { time } else { Store::Narrow };
        Slot { name: format!("{role:?}"), role: Some(role), store, has_comma: false }
    };
    RowFormat { slots: roles.iter().map(slot).collect(), separator, comment: b'#', header: None, unit }
}

/// Parses lines one by one, each split into cells.
fn parse_by_cells(format: &RowFormat, text: &str) -> Rows {
    let mut rows = Rows::new(format, text.as_bytes());
    for line in text.split_terminator('\n') {
        let mut values = [0; 4];
        match format.line(line.strip_suffix('\r').unwrap_or(line).as_bytes(), &mut values) {
            Ok(Some(t)) => rows.add(t, &values, format.keeps_floats()),
            Ok(None) => {}
            Err(wrong) => {
                rows.wrong = Some(wrong);
                break;
            }
        }
        rows.lines += 1;
    }
    rows
}

/// Compares the columns of a text, and those of what follows each wrong line.
fn assert_equal(format: &RowFormat, mut text: &str) {
    loop {
        let (got, expected) = (parse_rows(format, text.as_bytes()), parse_by_cells(format, text));
        // A cell with -0 is the whole number 0.
        let shown = |rows: &Rows| format!("{rows:?}").replace("-0.0", "0.0");
        assert!(shown(&got) == shown(&expected), "{got:?}, and by cells {expected:?}, of {text:?}");
        if got.wrong.is_none() {
            return;
        }
        text = text.splitn(got.lines as usize + 2, '\n').last().unwrap_or_default();
    }
}

/// Returns a cell: mostly a plain number, sometimes anything.
fn cell(role: Role, is_float: bool) -> BoxedStrategy<String> {
    let plain = match role {
        Role::T if is_float => "[0-9]{1,6}\\.[0-9]{1,9}",
        Role::T => "[0-9]{1,12}|[0-9]{15,17}",
        Role::P => "[01]|-1",
        _ => "[0-9]{1,4}",
    };
    let odd = "-?[0-9]{0,20}|-?[0-9]{0,9}\\.[0-9]{0,18}|[0-9]{5}|12-3|--1|1e3| 5|5 |\"5\"|nan|";
    prop_oneof![60 => plain, 1 => odd].boxed()
}

/// Returns lines of a text, and their format.
fn texts() -> impl Strategy<Value = (RowFormat, String)> {
    let roles = prop_oneof![
        Just(vec![Role::T, Role::X, Role::Y, Role::P]),
        Just(vec![Role::X, Role::Y, Role::P, Role::T]),
        Just(vec![Role::T, Role::X]),
        Just(vec![Role::X, Role::T, Role::P]),
    ];
    let separator = prop_oneof![Just(Some(b',')), Just(Some(b';')), Just(Some(b'\t')), Just(None)];
    let unit = prop_oneof![Just(TimeUnit::Seconds), Just(TimeUnit::Microseconds), Just(TimeUnit::Nanoseconds)];
    let end = prop_oneof![9 => Just("\n"), 1 => Just("\r\n")];
    (roles, separator, any::<bool>(), unit, end).prop_flat_map(|(roles, separator, is_float, unit, end)| {
        let store = if is_float { Store::Float } else { Store::Wide };
        let format = format(&roles, separator, store, unit);
        let between = char::from(separator.unwrap_or(b' ')).to_string();
        let cells: Vec<_> = roles.iter().map(|&role| cell(role, is_float)).collect();
        let row = cells.prop_map(move |cells| cells.join(&between));
        let odd = "|# lap|1|1,2,3,4,5|1  2 3\t4|,|\r";
        let line = prop_oneof![60 => row, 1 => odd.prop_map(|line: String| line)];
        let lines = proptest::collection::vec((line, prop_oneof![60 => Just(end), 1 => Just("\r\n")]), 0..400);
        let text = lines.prop_map(|lines| lines.into_iter().flat_map(|(line, end)| [line, end.into()]).collect());
        (Just(format), text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_of_lines_split_into_cells((format, text) in texts()) {
        assert_equal(&format, &text);
    }
}

#[test]
fn numbers_that_do_not_fit_their_column_are_not_cut_off() {
    let format = format(&[Role::T, Role::X, Role::Y, Role::P], Some(b','), Store::Wide, TimeUnit::Microseconds);
    for row in ["5,6,7,256", "5,6,7,65537", "5,65536,7,1", "5,6,65537,1", "5,6,7,-2", "5,-1,7,1"] {
        let after = "8,9,1,0\n".repeat(9);
        let rows = parse_rows(&format, format!("1,2,3,1\n{row}\n{after}").as_bytes());
        assert!(matches!(rows.wrong, Some(Wrong::Store(_, Store::Wide))) && rows.lines == 1, "{row}: {rows:?}");
    }
}

#[test]
fn texts_longer_than_a_block_are_parsed_to_their_end() {
    let roles = [Role::T, Role::X, Role::Y, Role::P];
    for (separator, time, unit) in [
        (Some(b','), Store::Wide, TimeUnit::Microseconds),
        (None, Store::Float, TimeUnit::Seconds),
        (Some(b';'), Store::Float, TimeUnit::Milliseconds),
    ] {
        let format = format(&roles, separator, time, unit);
        let between = char::from(separator.unwrap_or(b' '));
        let row = |i: u64| {
            let decimals = if time == Store::Float { format!(".{:06}", i * 31 % 1_000_000) } else { String::new() };
            let cells = [(i * 7_919).to_string() + &decimals, (i % 1280).to_string(), (i % 720).to_string()];
            let p = if i.is_multiple_of(3) { -1 } else { 1 };
            format!("{}{between}{p}\n", cells.join(&between.to_string()))
        };
        for rows in [0, 1, 2, 700, 5_000] {
            let text: String = (0..rows).map(row).collect();
            let parsed = parse_rows(&format, text.as_bytes());
            assert_eq!((parsed.t.len() as u64, parsed.lines, parsed.wrong.is_none()), (rows, rows, true));
            assert_equal(&format, &text);
            assert_equal(&format, &format!("{text}# end\n{text}1,2,3\n{text}"));
        }
    }
}
