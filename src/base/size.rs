//! Sizes in bytes as people and programs write them.

/// The units, with the bytes of one.
const UNITS: &[(&str, u64)] = &[
    ("bytes", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Returns the bytes of a size with a unit, such as `8GB` or `4.36 GiB`, or `None` if it isn't one. Case doesn't matter.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = number.parse().ok()?;
    let size = number * *bytes as f64;
    // Above, not every whole number is a float.
    (size < (1_u64 << 53) as f64).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_need_a_unit() {
        for (text, bytes) in
            [("8GB", 8_000_000_000), ("4.5 GiB", 4_831_838_208), ("0.5mb", 500_000), (" 1 TB ", 1_000_000_000_000)]
        {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for wrong in ["", "8", "GB", "-8GB", "8 G", "1e3GB", "8GBs", "8 GB free", "1.2.3GB", ".GB", "9999999TB", "∞GB"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
