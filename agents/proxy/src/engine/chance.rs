//! Chance that can be repeated: the same seed and connection draw the same.

/// Draws numbers. `SplitMix64` (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014): no secrets hang on it.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed and whatever tells this draw from others: the number of a connection, a direction.
    #[must_use]
    pub fn new(seed: u64, apart: u64) -> Self {
        let mut chance = Self(seed ^ apart.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        chance.number();
        chance
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from 0 to 1, without 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From the standard normal distribution (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.share(), self.share());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// The seed that a name stands for (FNV-1a), so that a tag alone makes a draw repeatable.
#[must_use]
pub fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_the_normal_is_normal() {
        let mut chance = Chance::new(7, 0);
        let n = 100_000;
        let shares: f64 = (0..n).map(|_| chance.share()).sum::<f64>() / f64::from(n);
        assert!((shares - 0.5).abs() < 0.01, "{shares}");
        let normals: Vec<f64> = (0..n).map(|_| chance.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn neighbours_draw_independently() {
        let hit = |connection| Chance::new(seed_of("chaos-run-1.0.0"), connection).share() < 0.25;
        let hits = (0..10_000).filter(|c| hit(*c)).count();
        assert!((2_200..2_800).contains(&hits), "{hits} of 10,000 at a quarter");
    }
}
