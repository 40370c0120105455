//! How delays are distributed: the tables that `netem` draws from, made as iproute2 makes them (`netem/normal.c`, `pareto.c`,
//! `paretonormal.c`).
//!
//! An entry is a delay's distance from the mean, in 8192ths of the jitter, at equal steps of probability.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A shape of delays around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distribution {
    /// The bell: `jitter` is its standard deviation.
    Normal,
    /// Mostly early, some very late.
    Pareto,
    /// A quarter bell, three quarters Pareto: closest to what is measured on the Internet.
    ParetoNormal,
}

/// How many entries iproute2's tables have.
const ENTRIES: u16 = 4096;
/// `NETEM_DIST_SCALE`: an entry of one jitter.
const SCALE: f64 = 8192.0;
/// The shape of Pareto's distribution that iproute2 takes: its mean is 1.5, its standard deviation 0.75.
const SHAPE: f64 = 3.0;

impl Distribution {
    /// As `tc` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Pareto => "pareto",
            Self::ParetoNormal => "paretonormal",
        }
    }

    /// Its table.
    pub(super) fn table(self) -> Vec<i16> {
        let entry = |i: u16| match self {
            Self::Normal => normal(i),
            Self::Pareto => pareto(i),
            // Whole numbers divided as C divides them: towards zero.
            Self::ParetoNormal => (normal(i) + 3 * pareto(i)) / 4,
        };
        (0..ENTRIES).map(|i| i16::try_from(entry(i).clamp(i16::MIN.into(), i16::MAX.into())).unwrap_or(0)).collect()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a float is cut to the whole numbers there are, and far from their ends")]
fn scaled(value: f64) -> i32 {
    (value * SCALE).round_ties_even() as i32
}

fn pareto(i: u16) -> i32 {
    let share = 1.0 - f64::from(i) / f64::from(ENTRIES);
    scaled((share.powf(-1.0 / SHAPE) - 1.5) * 4.0 / 3.0).min(i16::MAX.into())
}

/// iproute2 walks up the bell from -10 in small steps, and keeps the last that rounds to this entry: that before the edge to the next.
fn normal(i: u16) -> i32 {
    const STEP: f64 = 0.000_05;
    let edge = quantile((f64::from(i) * 4.0 + 0.5) / (f64::from(ENTRIES) * 4.0));
    scaled(((edge + 10.0) / STEP).floor() * STEP - 10.0)
}

/// Where the bell has so much of itself to the left (algorithm AS 241, Wichura 1988, PPND7: good to seven digits).
#[allow(clippy::many_single_char_names, reason = "as in the paper")]
fn quantile(p: f64) -> f64 {
    let ratio = |r: f64, over: &[f64], under: &[f64]| {
        let polynomial = |c: &[f64]| c.iter().rev().fold(0.0, |sum, c| sum * r + c);
        polynomial(over) / polynomial(under)
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let a = [3.387_132_717_9, 50.434_271_938, 159.291_132_02, 59.109_374_720];
        let b = [1.0, 17.895_169_469, 78.757_757_664, 67.187_563_600];
        return q * ratio(0.180_625 - q * q, &a, &b);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let tail = if r <= 5.0 {
        let c = [1.423_437_277_7, 2.756_815_390_0, 1.306_728_481_6, 0.170_238_211_03];
        ratio(r - 1.6, &c, &[1.0, 0.737_001_642_50, 0.120_211_329_75])
    } else {
        let e = [6.657_905_115_0, 3.081_226_386_0, 0.428_682_943_37, 0.017_337_203_997];
        ratio(r - 5.0, &e, &[1.0, 0.241_978_942_25, 0.012_258_202_635])
    };
    tail.copysign(q)
}
