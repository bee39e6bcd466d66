//! Commands about one saved plan.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sim::plan::Plan;
use sim::report::Finding;
use sim::run::execute;
use sim::{shrink, story};

fn load(path: &Path) -> Result<Plan> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let plan: Plan = serde_json::from_str(&text)
        .with_context(|| format!("{} is no plan as `sim run` saves them", path.display()))?;
    plan.check()
        .map_err(|wrong| anyhow::anyhow!("{} cannot be run: {wrong}", path.display()))?;
    Ok(plan)
}

fn code(finding: Option<&Finding>) -> u8 {
    finding.map_or(0, |finding| finding.verdict.exit_code())
}

pub fn replay(path: &Path) -> Result<u8> {
    let (report, _) = execute(&load(path)?, false);
    match &report.finding {
        Some(finding) => println!("{finding}"),
        None => println!("no finding"),
    }
    Ok(code(report.finding.as_ref()))
}

pub fn shrink(path: &Path, output: Option<PathBuf>) -> Result<u8> {
    let plan = load(path)?;
    let Some(small) = shrink::shrink(&plan) else {
        println!("no finding, so nothing to shrink");
        return Ok(0);
    };
    let output = output.unwrap_or_else(|| path.with_extension("small.json"));
    std::fs::write(&output, serde_json::to_string_pretty(&small.plan)?)
        .with_context(|| format!("cannot write {}", output.display()))?;
    println!(
        "{} steps became {} in {} runs: {}",
        plan.steps.len(),
        small.plan.steps.len(),
        small.runs,
        output.display()
    );
    println!("{}", small.finding);
    Ok(small.finding.verdict.exit_code())
}

pub fn story(path: &Path, html: Option<PathBuf>) -> Result<u8> {
    let plan = load(path)?;
    let (report, happened) = execute(&plan, true);
    match html {
        Some(page) => {
            std::fs::write(&page, story::html(&plan, &report, &happened))
                .with_context(|| format!("cannot write {}", page.display()))?;
            println!("{}", page.display());
        }
        None => print!("{}", story::text(&plan, &report, &happened)),
    }
    Ok(code(report.finding.as_ref()))
}
