//! The reports of several subjects, and the matrix, as one page that needs nothing else: no network, no other file.

use serde_json::{Value, json};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page. `reports` are those of [`super::json::value`], each under its subject's name; `matrix` is that of
/// [`crate::matrix::json`], null without one.
pub fn page(reports: &[(String, Value)], matrix: &Value) -> String {
    let subjects: Vec<Value> = reports
        .iter()
        .map(|(name, report)| json!({ "name": name, "report": report }))
        .collect();
    let data = json!({ "subjects": subjects, "matrix": matrix }).to_string();
    // Within a script element, only this could end it or begin a comment.
    let data = data.replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>csync conformance</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>csync conformance</h1><p id=\"about\"></p></header>\n\
         <noscript><p>This page draws its tables by a script of its own, which is switched off here.</p></noscript>\n\
         <main><section id=\"totals\"></section><section id=\"matrix\"></section>\n\
         <section id=\"filters\"></section><section id=\"scenarios\"></section></main>\n\
         <dialog id=\"detail\"></dialog>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_data_ends_the_script() {
        let report = super::super::json::value(&super::super::tests::report());
        let mut evil = report.clone();
        evil["target"] = json!("</script><script>alert(1)</script><!--");
        let page = page(&[("one".to_owned(), evil)], &Value::Null);
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("alert(1)</script>"));
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "the page stands alone"
        );
    }
}
