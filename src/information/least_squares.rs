//! Least squares of small systems, by singular values.
//!
//! For a matrix A of m rows and n ≤ m columns that are independent: the x that makes |A x - b| least,
//! and cond(A), which says by how much more an error in b may show in x. By one-sided Jacobi
//! rotations (Hestenes 1958; Demmel & Veselić 1992): pairs of columns are rotated until all are at
//! right angles, A V = U S; the columns' lengths are then the singular values, each to nearly full
//! precision. n² m steps a sweep and some ten sweeps: for systems of up to a hundred columns.

/// Sweeps after which the columns are as good as they get; they need ten at most.
const MOST_SWEEPS: usize = 60;

/// A system that can be solved for any right side.
#[derive(Clone, Debug)]
pub struct LeastSquares {
    /// Columns of U S: at right angles, as long as the singular values.
    rotated: Vec<Vec<f64>>,
    /// Columns of V.
    rotation: Vec<Vec<f64>>,
    condition: f64,
}

impl LeastSquares {
    /// Of a matrix given by its columns, all of one length and finite. None where there are no
    /// columns, or where they are not independent: the least singular value is then below what
    /// rounding gives, max(m, n) · 2^-52 of the greatest, and there is no one solution.
    pub fn new(columns: Vec<Vec<f64>>) -> Option<Self> {
        let n = columns.len();
        let m = columns.first().map_or(0, Vec::len);
        let unit = |column: usize| (0..n).map(move |row| f64::from(u8::from(row == column)));
        let mut system = Self {
            rotated: columns,
            rotation: (0..n).map(|column| unit(column).collect()).collect(),
            condition: 0.0,
        };
        for _ in 0..MOST_SWEEPS {
            if !system.sweep() {
                break;
            }
        }
        let lengths = system
            .rotated
            .iter()
            .map(|column| dot(column, column).sqrt());
        let (least, greatest) = lengths.fold((f64::INFINITY, 0.0_f64), |(least, greatest), s| {
            (least.min(s), greatest.max(s))
        });
        system.condition = greatest / least;
        let independent = least > m.max(n) as f64 * f64::EPSILON * greatest;
        (n > 0 && independent && system.condition.is_finite()).then_some(system)
    }

    /// Rotates each pair of columns to right angles once; false where all were.
    fn sweep(&mut self) -> bool {
        let mut rotated = false;
        for q in 1..self.rotated.len() {
            for p in 0..q {
                let (a, b) = (&self.rotated[p], &self.rotated[q]);
                let (alpha, beta, gamma) = (dot(a, a), dot(b, b), dot(a, b));
                if gamma.abs() <= f64::EPSILON * (alpha * beta).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let by = (cosine, cosine * tangent);
                rotate(&mut self.rotated, p, q, by);
                rotate(&mut self.rotation, p, q, by);
            }
        }
        rotated
    }

    /// The greatest singular value over the least; at least 1.
    pub fn condition(&self) -> f64 {
        self.condition
    }

    /// The x that makes |A x - b| least, for a `b` as long as the columns.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.rotation.len()];
        for (us, v) in self.rotated.iter().zip(&self.rotation) {
            let along = dot(us, b) / dot(us, us);
            for (x, v) in x.iter_mut().zip(v) {
                *x += along * v;
            }
        }
        x
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Rotates two columns, p before q, by the angle of this cosine and sine.
fn rotate(columns: &mut [Vec<f64>], p: usize, q: usize, (cosine, sine): (f64, f64)) {
    let (before, from_q) = columns.split_at_mut(q);
    for (a, b) in before[p].iter_mut().zip(&mut from_q[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    /// A line through (0, 1), (1, 3), (2, 4), (3, 4) by hand: AᵀA = [[4, 6], [6, 14]], Aᵀb =
    /// [12, 23], so x = (14·12 - 6·23, -6·12 + 4·23) / (4·14 - 36) = (1.5, 1). The eigenvalues of
    /// AᵀA are 9 ± √61: cond² is their quotient.
    #[test]
    fn a_line_through_points() {
        let columns = vec![vec![1.0; 4], vec![0.0, 1.0, 2.0, 3.0]];
        let system = LeastSquares::new(columns).unwrap();
        let x = system.solve(&[1.0, 3.0, 4.0, 4.0]);
        assert!(close(x[0], 1.5) && close(x[1], 1.0), "{x:?}");
        let root = 61.0_f64.sqrt();
        let condition = ((9.0 + root) / (9.0 - root)).sqrt();
        assert!(close(system.condition(), condition));
    }

    /// The Hilbert matrix of five: numpy.linalg.cond says 476607.2502425855. Ones times it are the
    /// sums of its rows, and come back but for what the condition makes of rounding.
    #[test]
    fn a_system_of_bad_condition() {
        let entry = |row: usize, column: usize| 1.0 / (row + column + 1) as f64;
        let column = |column| (0..5).map(|row| entry(row, column)).collect();
        let system = LeastSquares::new((0..5).map(column).collect()).unwrap();
        assert!((system.condition() / 476_607.250_242_585_5 - 1.0).abs() < 1e-9);
        let sums: Vec<f64> = (0..5)
            .map(|row| (0..5).map(|c| entry(row, c)).sum())
            .collect();
        let x = system.solve(&sums);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-9), "{x:?}");
    }

    #[test]
    fn columns_that_depend_on_each_other_have_no_solution() {
        for columns in [
            vec![],
            vec![vec![]],
            vec![vec![0.0, 0.0]],
            vec![vec![1.0, 2.0], vec![0.0, 0.0]],
            vec![vec![1.0, 2.0, 3.0], vec![0.1, 0.2, 0.3]],
            vec![
                vec![1.0, 0.0, 0.0],
                vec![0.0, 1.0, 0.0],
                vec![0.3, 0.7, 0.0],
            ],
        ] {
            assert!(LeastSquares::new(columns.clone()).is_none(), "{columns:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            (columns, x) in (1..7_usize).prop_flat_map(|n| {
                let column = prop::collection::vec(0.0..1.0_f64, n + 2);
                (prop::collection::vec(column, n), prop::collection::vec(-5.0..5.0_f64, n))
            }),
        ) {
            let b: Vec<f64> = (0..columns[0].len())
                .map(|row| columns.iter().zip(&x).map(|(column, x)| column[row] * x).sum())
                .collect();
            let system = LeastSquares::new(columns);
            prop_assume!(system.as_ref().is_some_and(|system| system.condition() < 1e4));
            let found = system.unwrap().solve(&b);
            for (found, x) in found.iter().zip(&x) {
                prop_assert!((found - x).abs() < 1e-9, "{found} {x}");
            }
        }
    }
}
