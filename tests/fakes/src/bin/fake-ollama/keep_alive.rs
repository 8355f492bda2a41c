//! How long a model stays loaded after its last use.

use std::time::Duration;

use serde_json::Value;

/// The maximum of the real program, 292 years.
pub const FOREVER: Duration = Duration::from_secs(9_223_372_036);
const DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Parses `keep_alive` of a request: seconds as a number, or a text with a unit. Negative means forever.
pub fn from_request(value: &Value) -> Result<Option<Duration>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(Some(seconds(number.as_f64().unwrap_or(-1.0)))),
        Value::String(text) => parse(text).map(Some),
        other => Err(format!("Unsupported type: '{other}'")),
    }
}

/// Parses `OLLAMA_KEEP_ALIVE`, which may also be a number without a unit.
pub fn from_environment() -> Duration {
    let text = std::env::var("OLLAMA_KEEP_ALIVE").unwrap_or_default();
    let number = text.parse().map(seconds);
    number.or_else(|_| parse(&text)).unwrap_or(DEFAULT)
}

fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| format!("time: invalid duration {text:?}"))?;
    match &text[digits.len()..] {
        "" => Err(format!("time: missing unit in duration {text:?}")),
        "ms" => Ok(seconds(number / 1000.0)),
        "s" => Ok(seconds(number)),
        "m" => Ok(seconds(number * 60.0)),
        "h" => Ok(seconds(number * 3600.0)),
        unit => Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
    }
}

fn seconds(number: f64) -> Duration {
    if number < 0.0 { FOREVER } else { Duration::from_secs_f64(number).min(FOREVER) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_seconds_and_texts_need_a_unit() {
        assert_eq!(from_request(&json!(-1)), Ok(Some(FOREVER)));
        assert_eq!(from_request(&json!(0)), Ok(Some(Duration::ZERO)));
        assert_eq!(from_request(&json!("10m")), Ok(Some(Duration::from_secs(600))));
        assert_eq!(from_request(&json!("-1")), Err(r#"time: missing unit in duration "-1""#.to_owned()));
    }
}
