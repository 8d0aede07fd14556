//! Tests of the commands that errors suggest for texts, and of the messages about lines that are not rows.

use super::*;

/// Returns the options of `np.loadtxt` that an error suggests for a text, or the message about a line of the text.
fn advised(text: &str) -> Option<Result<(String, Vec<Remedy>), String>> {
    let head = &text[..text.len().min(16_384)];
    Some(command(Path::new("d/a b.txt"), "a b", head, text.as_bytes())?.map(|(_, remedy)| {
        let Remedy::Copy { words, file, with } = remedy else { panic!("{text}") };
        let start = "import numpy as np; np.save(\"a b_events.npy\", np.loadtxt(\"d/a b.txt\"";
        assert_eq!(file, "a b_events.npy");
        let options = words[2].strip_prefix(start).and_then(|rest| rest.strip_suffix("))"));
        (options.unwrap_or_else(|| panic!("{}", words[2])).into(), with)
    }))
}

#[test]
fn the_line_fits_the_text() {
    for (head, options, fields, unit) in [
        ("t,x,y,p\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=1", "t x y p", None),
        ("10 3 7 1\n20 1 7 0\n", "", "t x y p", None),
        ("  10   3   7 1\n  20   1   7 0\n", "", "t x y p", None),
        ("0.5 3 7 1\n0.75 1 7 0\n", "", "T x y p", None),
        ("240 180\n0.5 3 7 1\n0.75 1 7 0\n", ", skiprows=1", "T x y p", None),
        ("# x y p t\n3\t7\t1\t10\n1\t7\t0\t20\n", ", delimiter=\"\\t\", skiprows=1", "x y p t", None),
        (
            "t;x;y;p\n0,5;3;7;1\n0,75;1;7;0\n",
            ", delimiter=\";\", skiprows=1, converters=lambda cell: float(cell.replace(\",\", \".\")), encoding=\"utf-8\"",
            "T x y p",
            None,
        ),
        (
            "x,y,pol,t\n3,7,ON,10\n1,7,ON,20\n",
            ", delimiter=\",\", skiprows=1, converters={2: lambda cell: {\"off\": 0, \"on\": 1}[cell.strip().lower()]}, encoding=\"utf-8\"",
            "x y p t",
            None,
        ),
        (",time_ns,x,y,p\n0,10,3,7,1\n1,20,1,7,0\n", ", delimiter=\",\", skiprows=1", "column1 t x y p", Some("ns")),
        (
            "\u{feff}\"t [ms]\",x,y,p\n1.5,3,7,1\n2.5,1,7,0\n",
            ", delimiter=\",\", skiprows=1, encoding=\"utf-8-sig\"",
            "T x y p",
            Some("ms"),
        ),
        ("% a\n% b\n10 3 7 1\n20 1 7 0\n", ", skiprows=2, comments=\"%\"", "t x y p", None),
        (
            "t,x,y,p,name\n10,3,7,1,a b\n20,1,7,0,\n",
            ", delimiter=\",\", skiprows=1, usecols=[0, 1, 2, 3]",
            "t x y p",
            None,
        ),
        // NumPy skips blank lines and comments.
        ("t,x,y,p\n10,3,7,1\n\n# lap\n20,1,7,0\n", ", delimiter=\",\", skiprows=1", "t x y p", None),
        ("mine, 20, 5, 1\nt,x,y,p\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=2", "t x y p", None),
        ("t,x,y,val\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=1", "t x y val", None),
        ("1700000000000001001,3,7,1\n1700000000000009001,1,7,0\n", ", delimiter=\",\"", "t x y p", None),
    ] {
        let field = |name: &str| match name {
            "T" => "(\"t\", \"f8\")".into(),
            name => format!("(\"{name}\", \"i8\")"),
        };
        let fields: Vec<String> = fields.split(' ').map(field).collect();
        let options = format!("{options}, dtype=[{}], ndmin=1", fields.join(", "));
        let with = unit.map(|unit| Remedy::Unit(unit.parse().unwrap())).into_iter().collect();
        assert_eq!(advised(head), Some(Ok((options, with))), "{head}");
    }
    for head in ["Dear all,\nplease find it attached.\n", "1\n2\n", "a b c\nd e f\n", "t,x,y,p\n", "\n\n", "5 5\n5 5\n"]
    {
        assert_eq!(advised(head), None, "{head}");
    }
}

#[test]
fn a_line_that_is_no_row_is_named_and_nothing_is_left_out() {
    for (lines, named) in [
        ("10,3,7,1\n,,,\n20,1,7,0\n30,1,7,0\n", "line 3 is \",,,\""),
        ("10,3,7,1\n20,1,7\n30,1,7,0\n40,1,7,0\n", "line 3 is \"20,1,7\""),
        ("10,3,7\n20,1,7,0\n30,1,7,0\n", "line 2 is \"10,3,7\""),
        ("10,3,7,1\nt,x,y,p\n20,1,7,0\n30,1,7,0\nend\n", "line 6 is \"end\""),
        ("nan,nan,nan,nan\n10,3,7,1\n20,1,7,0\n", "line 2 is \"nan,nan,nan,nan\""),
        ("10,3,7,1\n20,NULL,7,1\n30,1,7,0\n", "line 3 is \"20,NULL,7,1\""),
        ("10,3,7,ON\n20,1,7,OFF\n30,1,7,5\n", "line 4 is \"30,1,7,5\""),
        ("\n2020-01-01 00:01,3,7,1\n2020-01-01 00:02,1,7,0\n", "line 3: t is \"2020-01-01 00:01\""),
    ] {
        let Some(Err(odd)) = advised(&format!("t,x,y,p\n{lines}")) else { panic!("{lines}") };
        assert!(odd.starts_with(named), "{odd}");
    }
    let Some(Err(odd)) = advised("t;x;y;p\n900;1;2;0\n1,900;1;3;1\n") else { panic!() };
    assert!(odd.starts_with("line 3: t is \"1,900\""), "{odd}");
    let Some(Err(odd)) = advised("2020-01-01,3,7,1\n2020-01-02,1,7,0\n") else { panic!() };
    assert!(odd.starts_with("line 1: column 1 is"), "{odd}");
}

/// Returns a text of 5,000 rows after the header `t,x,y,p`, in which `late` replaces row 4,000.
fn with_late(late: &str) -> String {
    let row = |i: usize| if i == 4_000 { late.into() } else { format!("{},3,7,{}\n", 1_000 + 10 * i, i % 2) };
    "t,x,y,p\n".to_owned() + &(0..5_000).map(row).collect::<String>()
}

#[test]
fn every_line_is_read() {
    for (late, options, dtype) in [
        ("41000,3,7,1\n", "", ["i8"; 4]),
        ("\n\n# lap 2\n-5,3,7,-1 # late\n", "", ["i8"; 4]),
        ("t,x,y,p\n", ", comments=[\"#\", \"t,x,y,p\"]", ["i8"; 4]),
        ("\"41000\",3,7,1\n", ", quotechar='\"'", ["i8"; 4]),
        ("41000.5,3,7,1\n", "", ["f8", "i8", "i8", "i8"]),
        ("41000,3.0,7e0,1\n", "", ["i8", "f8", "f8", "i8"]),
        ("99999999999999999999,3,7,1\n", "", ["f8", "i8", "i8", "i8"]),
    ] {
        let names = ["t", "x", "y", "p"].iter().zip(dtype);
        let fields: Vec<String> = names.map(|(name, kind)| format!("(\"{name}\", \"{kind}\")")).collect();
        let fields = fields.join(", ");
        let options = format!(", delimiter=\",\", skiprows=1{options}, dtype=[{fields}], ndmin=1");
        assert_eq!(advised(&with_late(late)), Some(Ok((options, Vec::new()))), "{late}");
    }
    for late in [
        "  ",
        "p,x,y,t",
        "41000,3,7",
        "41000,3,7,1,0",
        "41000,3,7,nan",
        "41000,,7,1",
        "41000;3;7;1",
        "0 0 0 0",
        "1-2,3,7,1",
    ] {
        let named = format!("line 4002 is {late:?}, no row of 4 cells as the others: ");
        let Some(Err(odd)) = advised(&with_late(&format!("{late}\n"))) else { panic!("{late}") };
        assert!(odd.starts_with(&named), "{odd}");
    }
    let Some(Err(odd)) = advised(&with_late("# t,y,x,p\n,,,\n5,3")) else { panic!() };
    assert!(odd.starts_with("line 4002 is \"# t,y,x,p\"") && odd.contains("so are 2 other lines"), "{odd}");
    // The end of a file that is cut off.
    let Some(Err(odd)) = advised(&(with_late("") + "60000,3")) else { panic!() };
    assert!(odd.starts_with("line 5001 is \"60000,3\""), "{odd}");
    // Decimals after a comma, and thousands.
    let late = |late: &str| advised(&with_late(late).replace(',', ";").replace('_', ","));
    let Some(Ok((options, _))) = late("41000_5,3,7,1\n") else { panic!() };
    assert!(options.contains("converters=lambda cell: float(cell.replace"), "{options}");
    let Some(Err(odd)) = late("41_000,3,7,1\n") else { panic!() };
    assert!(odd.starts_with("line 4002: t is \"41,000\""), "{odd}");
    // Line ends of an old Mac, and a text in Latin-1.
    let options = |text: &[u8]| {
        let command = command(Path::new("a.txt"), "a", &String::from_utf8_lossy(text), text);
        let Some(Ok((_, Remedy::Copy { words, .. }))) = command else { panic!("{command:?}") };
        words[2].clone()
    };
    assert!(
        options(b"t,x,y,p\r10,3,7,1\r20,1,7,0\r").contains("loadtxt(\"a.txt\", delimiter=\",\", skiprows=1, dtype")
    );
    assert!(options(b"10,3,7,1\n20,1,7,0 # \xb5s\n").contains("encoding=\"latin1\""));
}
