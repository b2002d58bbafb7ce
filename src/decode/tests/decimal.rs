//! Numbers read here against the standard library's parser, bit by bit.

use super::super::decimal::{Rows, end_of_number, integer, number, one_by_one};
use crate::information::vector::forced::with_each;

/// `KLAXOND_NUMBERS=1000000000` for more.
fn count() -> u64 {
    std::env::var("KLAXOND_NUMBERS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(200_000)
}

/// What reads rows, on each width of vectors.
fn each_rows() -> Vec<Rows> {
    with_each(Rows::default)
}

/// [`check_with`] each.
fn checker() -> impl FnMut(&str) {
    let mut each = each_rows();
    move |token| check_with(&mut each, token)
}

/// Reads `token` as a member of an array, and at both ends of the text.
fn check_with(each: &mut [Rows], token: &str) {
    let value: f64 = token.parse().unwrap();
    let expected = value.is_finite().then_some((value.to_bits(), token.len()));
    let long = format!("{token}, 0.12345678901234568, 0.123456789012345678]");
    // Long enough that the token is not among the numbers at the beginning, which are read one by one.
    let padding = "[0.25, 0.12345678901234568, 0.12345678901234568, ";
    let inside = format!("{padding}{long}");
    let read = |text: &str, at| {
        number(text.as_bytes(), at).map(|(value, end)| (value.to_bits(), end - at))
    };
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut simply = Vec::new();
    let end = one_by_one(inside.as_bytes(), 1, 9, &mut simply);
    let others = [
        0.25,
        0.12345678901234568,
        0.12345678901234568,
        value,
        0.12345678901234568,
        0.12345678901234568,
    ];
    if value.is_finite() {
        assert_eq!(end, Some(inside.len()), "{token}");
        assert_eq!(bits(&simply), bits(&others), "{token}");
    } else {
        assert_eq!(end, None, "{token}");
    }
    for rows in each {
        let mut values = Vec::new();
        assert_eq!(
            rows.read(inside.as_bytes(), 1, 9, &mut values),
            end,
            "{token}"
        );
        if end.is_some() {
            assert_eq!(bits(&values), bits(&simply), "{rows:?} {token}");
        }
    }
    assert_eq!(read(&long, 0), expected, "{token}");
    assert_eq!(read(&inside, padding.len()), expected, "{token}");
    assert_eq!(
        read(&format!("{padding}{token}"), padding.len()),
        expected,
        "{token}"
    );
}

fn digits(random: &mut fastrand::Rng, count: usize) -> String {
    (0..count).map(|_| random.digit(10)).collect()
}

#[test]
fn floats_as_they_are_printed() {
    let mut check = checker();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..count() {
        let x = random.f64() * 10_f64.powi(random.i32(-30..3));
        check(&format!("{x}"));
        check(&format!("{x:?}"));
        check(&format!("{:e}", -x));
        check(&format!("{:.1$}", x, random.usize(1..25)));
        check(&format!("{:?}", x as f32));
        check(&format!("{:?}", f64::from(x as f32)));
        let any = f64::from_bits(random.u64(..));
        if any.is_finite() {
            check(&format!("{any:e}"));
        }
    }
}

#[test]
fn digits_in_any_number() {
    let mut check = checker();
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..count() {
        let sign = random.choice(["", "-"]).unwrap();
        let whole = match random.usize(0..4) {
            0 => "0".to_owned(),
            n => format!("{}{}", random.digit(9), digits(&mut random, n - 1)).replacen('0', "7", 1),
        };
        let zeros = "0".repeat(random.usize(0..8));
        let places = random.usize(0..20);
        let fraction = format!(
            ".{zeros}{}{}",
            digits(&mut random, places),
            random.digit(10)
        );
        let exponent = match random.usize(0..6) {
            0 => format!("e-{:02}", random.usize(0..60)),
            1 => format!("E-{}", random.usize(0..400)),
            2 => format!("e{}", random.usize(0..330)),
            _ => String::new(),
        };
        let whole = if whole.len() > 1 && whole.starts_with('0') {
            "1".to_owned()
        } else {
            whole
        };
        check(&format!("{sign}{whole}{fraction}{exponent}"));
    }
}

/// Halfway between two floats, where the last digit of all decides: exact in up to four places.
#[test]
fn ties_and_their_neighbours() {
    let mut check = checker();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..count() / 10 {
        for places in 1..=4_u32 {
            // 54 bits, the last of them 1: halfway between floats of 53.
            let odd = random.u64(1 << 53..1 << 54) | 1;
            let bits = 54 - random.u32(0..=6);
            let odd = (odd >> (54 - bits)) | 1;
            let (whole, rest) = (odd >> places, odd & ((1 << places) - 1));
            let fraction = (rest * 10_u64.pow(places)) >> places;
            check(&format!("{whole}.{fraction:0w$}", w = places as usize));
        }
        // 0.000d with w of 19 digits, from the middle of two floats to the nearest that can be
        // written.
        let x = random.f64() / 8.0;
        let next = f64::from_bits(x.to_bits() + 1);
        let middle = format!("{:.60}", x + (next - x) / 2.0);
        for digits in 17..22 {
            check(&middle[..2 + digits]);
        }
    }
    // As w e-s, w of up to 19 digits.
    for odd in (0..100_000).map(|n| (1_u64 << 53) + 2 * n + 1) {
        check_in_places(&mut check, odd);
        check_in_places(&mut check, odd * 5);
        check_in_places(&mut check, odd * 25);
        check_in_places(&mut check, odd * 125);
    }
}

/// `w` with its point after the first digit and an exponent that undoes part of it, or all.
fn check_in_places(mut check: impl FnMut(&str), w: u64) {
    let text = w.to_string();
    let places = text.len() - 1;
    for exponent in [1, 2, 3, 4, places] {
        check(&format!("{}.{}e-{exponent:02}", &text[..1], &text[1..]));
    }
}

#[test]
fn what_is_no_number() {
    for text in [
        "",
        "-",
        "+1",
        ".5",
        "5.",
        "-.5",
        "5.e1",
        "5e",
        "5e-",
        "5e+",
        "5.5e",
        "e5",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "--1",
        " 1",
        "1e999",
        "-1e999",
        "1.5e400",
    ] {
        assert_eq!(number(text.as_bytes(), 0), None, "{text}");
    }
    // What comes after is for others to judge.
    for (text, length) in [
        ("01", 1),
        ("1.5.5", 3),
        ("1.5-", 3),
        ("1_0", 1),
        ("0x10", 1),
        ("1.5e-055", 8),
    ] {
        assert_eq!(end_of_number(text.as_bytes(), 0), Some(length), "{text}");
        let value: f64 = text[..length].parse().unwrap();
        assert_eq!(number(text.as_bytes(), 0), Some((value, length)), "{text}");
    }
}

/// Rows by several numbers at a time and by one, of what is a row and of what is nearly one.
#[test]
fn rows_of_any_numbers() {
    const SEPARATORS: [&str; 6] = [",", ", ", ", ", ",  ", " , ", ",\n\t"];
    let mut random = fastrand::Rng::with_seed(4);
    // With what is left in them of all the rows before.
    let mut each = each_rows();
    for _ in 0..count() / 10 {
        let mut text = " ".repeat(random.usize(0..50)) + "[";
        let start = text.len();
        let numbers = random.usize(1..40);
        let separator = SEPARATORS[random.usize(..SEPARATORS.len())];
        for i in 0..numbers {
            if i > 0 {
                text += separator;
            }
            text += &token(&mut random);
        }
        text += "]";
        text += &" ".repeat(random.usize(0..90));
        let mut text = text.into_bytes();
        if random.u8(..) < 100 {
            let at = random.usize(start..text.len());
            text[at] = *random
                .choice(b"09.-+eE,] \"x:\xb5\xca\xff\0".iter())
                .unwrap();
        }
        let most = if random.bool() {
            numbers
        } else {
            random.usize(0..40)
        };
        let result = |end: Option<usize>, values: &[f64]| {
            let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
            end.map(|end| (end, bits))
        };
        let mut values = vec![0.5];
        let end = one_by_one(&text, start, most + 1, &mut values);
        let expected = result(end, &values);
        for rows in &mut each {
            let mut values = vec![0.5];
            let end = rows.read(&text, start, most + 1, &mut values);
            assert_eq!(
                result(end, &values),
                expected,
                "{rows:?} {most} {}",
                text.escape_ascii()
            );
        }
    }
}

/// Numbers, most of them such as are read several at a time, and some that are none.
fn token(random: &mut fastrand::Rng) -> String {
    let x = random.f64();
    match random.usize(0..16) {
        0..6 => format!("{x}"),
        6 => format!("{:?}", x as f32),
        7 => format!("{}", -x * 10_f64.powi(random.i32(0..25))),
        8..11 => format!("{:.*e}", random.usize(0..24), x * 1e-5).replace("e-", "e-0"),
        11 => format!(
            "{:.*}",
            random.usize(0..30),
            x * 10_f64.powi(random.i32(0..5))
        ),
        12 => format!("{:e}", x * 10_f64.powi(random.i32(-60..60))),
        13 => format!("{}", random.u16(..)),
        14 => format!("{}.{}", digits(random, 3), digits(random, 2)),
        _ => random
            .choice([
                "0", "-0.0", "-0", "0.0", "1.0", "1e-05", ".5", "5.", "0e-00", "5.e-05", "1.5e-0:",
                "-01", "-00.5", "-",
            ])
            .unwrap()
            .to_owned(),
    }
}

#[test]
fn integers_by_their_digits() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..count() {
        let value = random.u64(..10_u64.pow(18)) / 10_u64.pow(random.u32(0..18));
        let token = value.to_string();
        let padding = " ".repeat(random.usize(0..80));
        let rest = " ".repeat(random.usize(0..80));
        let text = format!("{padding}{token},{rest}");
        let expected = Some((value.cast_signed(), padding.len() + token.len()));
        assert_eq!(integer(text.as_bytes(), padding.len()), expected, "{text}");
    }
    // 2^63 - 1 has 19 digits; what comes next has to end a number.
    for none in [
        "",
        "-1",
        "01",
        "9223372036854775807",
        "1.5",
        "1e5",
        "1\"",
        "a",
        "1_",
    ] {
        assert_eq!(integer(none.as_bytes(), 0), None, "{none}");
        assert_eq!(
            integer(format!("{none:>60}").as_bytes(), 60 - none.len()),
            None,
            "{none}"
        );
    }
    assert_eq!(integer(b"0}", 0), Some((0, 1)));
}
