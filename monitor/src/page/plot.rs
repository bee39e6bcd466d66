//! The lag over the last hour, drawn as SVG that stretches to any width; its words stand beside it as text.

use std::fmt::Write;

use crate::health::span;
use crate::status::{SAMPLE_INTERVAL_MS, Sample};

/// What the plot shows, milliseconds.
const WINDOW_MS: u64 = 3_600_000;

/// Two samples farther apart than this, milliseconds, have a gap between them.
const GAP_MS: u64 = 4 * SAMPLE_INTERVAL_MS;

/// Units of the drawing.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// Ends of the scale, seconds, the nearest above the highest lag is taken.
const SCALES_S: [u64; 16] = [
    10, 20, 60, 120, 240, 600, 1200, 2400, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 864_000, 8_640_000,
];

/// The plot with its axes.
pub fn draw(history: &[Sample], now_ms: u64) -> String {
    let from_ms = now_ms.saturating_sub(WINDOW_MS);
    let samples: Vec<Sample> = history
        .iter()
        .filter(|s| s.at_ms >= from_ms && s.at_ms <= now_ms)
        .copied()
        .collect();
    let highest_ms = samples.iter().map(|s| s.lag_ms).max().unwrap_or(0);
    let scale_s = SCALES_S
        .into_iter()
        .find(|&s| s * 1000 >= highest_ms)
        .unwrap_or(highest_ms / 1000 + 1);
    let frame = Frame {
        from_ms,
        now_ms,
        scale_ms: scale_s * 1000,
    };
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
        description(&samples, highest_ms)
    );
    frame.outages(&samples, &mut svg);
    let _ = write!(
        svg,
        "<path class=\"grid\" d=\"M0 0H{WIDTH}M0 {}H{WIDTH}\"/>",
        HEIGHT / 2.0
    );
    frame.line(&samples, &mut svg);
    svg.push_str("<path class=\"axis\" d=\"M0 100H1000\"/></svg>");
    let empty = if samples.is_empty() {
        "<p class=\"empty\">no samples in the last hour</p>"
    } else {
        ""
    };
    format!(
        "<figure><figcaption>Lag over the last hour{}</figcaption><div class=\"plot\"><div class=\"scale\" \
         aria-hidden=\"true\"><span>{}</span><span>{}</span><span>0</span></div><div class=\"field\" data-samples=\"{}\">\
         {svg}{empty}</div></div><div class=\"times\" aria-hidden=\"true\"><span>1 h ago</span><span>30 min</span>\
         <span>now</span></div></figure>",
        if samples.iter().any(|s| !s.connected) {
            "<span class=\"key\">not connected</span>"
        } else {
            ""
        },
        span(scale_s * 1000),
        span(scale_s * 500),
        data(&samples, frame.from_ms),
    )
}

fn description(samples: &[Sample], highest_ms: u64) -> String {
    match samples.last() {
        None => "no samples in the last hour".to_owned(),
        Some(last) => {
            let outages = samples.iter().filter(|s| !s.connected).count();
            let lost = if outages > 0 {
                format!(", not connected in {outages} of {} samples", samples.len())
            } else {
                String::new()
            };
            format!(
                "lag at most {}, at last {}{lost}",
                span(highest_ms),
                span(last.lag_ms)
            )
        }
    }
}

/// For the script that tells values under the pointer: per mille of the width, lag in seconds, changes waiting.
fn data(samples: &[Sample], from_ms: u64) -> String {
    let mut out = String::new();
    for sample in samples {
        let at = (sample.at_ms - from_ms) * 1000 / WINDOW_MS;
        let _ = write!(out, "{at},{},{};", sample.lag_ms / 1000, sample.waiting);
    }
    out
}

struct Frame {
    from_ms: u64,
    now_ms: u64,
    scale_ms: u64,
}

impl Frame {
    fn x(&self, at_ms: u64) -> f64 {
        (at_ms - self.from_ms) as f64 / WINDOW_MS as f64 * WIDTH
    }

    fn y(&self, lag_ms: u64) -> f64 {
        HEIGHT - lag_ms as f64 / self.scale_ms as f64 * HEIGHT
    }

    /// One area and one line for each run of samples without a gap.
    fn line(&self, samples: &[Sample], svg: &mut String) {
        for run in samples.chunk_by(|a, b| b.at_ms.saturating_sub(a.at_ms) <= GAP_MS) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            // A single sample is drawn as wide as the time that it stands for.
            let end_ms = (last.at_ms + SAMPLE_INTERVAL_MS).min(self.now_ms);
            let mut line = String::new();
            for sample in run {
                let _ = write!(line, "{:.1} {:.1}L", self.x(sample.at_ms), self.y(sample.lag_ms));
            }
            let _ = write!(line, "{:.1} {:.1}", self.x(end_ms), self.y(last.lag_ms));
            let _ = write!(
                svg,
                "<path class=\"area\" d=\"M{:.1} {HEIGHT}L{line}L{:.1} {HEIGHT}Z\"/><path class=\"line\" d=\"M{line}\"/>",
                self.x(first.at_ms),
                self.x(end_ms),
            );
        }
    }

    /// Bands where there was no connection.
    fn outages(&self, samples: &[Sample], svg: &mut String) {
        let same =
            |a: &Sample, b: &Sample| a.connected == b.connected && b.at_ms.saturating_sub(a.at_ms) <= GAP_MS;
        for run in samples.chunk_by(same).filter(|run| !run[0].connected) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let end_ms = (last.at_ms + SAMPLE_INTERVAL_MS).min(self.now_ms);
            let (from, to) = (self.x(first.at_ms), self.x(end_ms));
            let _ = write!(
                svg,
                "<rect class=\"outage\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"/>",
                to - from
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: u64, lag_s: u64, connected: bool) -> Sample {
        Sample {
            at_ms: at_s * 1000,
            lag_ms: lag_s * 1000,
            waiting: lag_s,
            connected,
        }
    }

    #[test]
    fn the_scale_holds_the_highest() {
        for highest in [0u64, 4, 10, 11, 3599, 3601, 9_000_000, u64::MAX / 2_000_000] {
            let plot = draw(&[sample(4000, highest, true)], 4_010_000);
            assert!(!plot.contains("NaN") && !plot.contains(" -"), "{highest}: {plot}");
        }
    }

    #[test]
    fn gaps_and_outages_are_drawn_as_such() {
        let history: Vec<Sample> = (0..60)
            .map(|i| sample(1000 + i * 10, i, !(20..30).contains(&i)))
            .chain((0..10).map(|i| sample(3000 + i * 10, 3, true)))
            .collect();
        let plot = draw(&history, 3_600_000);
        assert_eq!(plot.matches("class=\"line\"").count(), 2);
        assert_eq!(plot.matches("class=\"outage\"").count(), 1);
        assert!(
            plot.contains("lag at most 59 s, at last 3 s, not connected in 10 of 70 samples"),
            "{plot}"
        );
        assert!(draw(&[], 5).contains("no samples in the last hour"));
    }

    #[test]
    fn what_is_older_or_from_the_future_is_left_out() {
        let plot = draw(&[sample(1, 9, true), sample(9000, 9, true)], 5_000_000);
        assert!(plot.contains("no samples"), "{plot}");
    }
}
