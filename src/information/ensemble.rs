//! An ensemble's members as one distribution, and what their entropies add to it.
//!
//! The entropy of the members' mean splits into what each member is unsure of by itself (aleatoric:
//! noise in the data) and what they disagree about (epistemic: not knowing), the mutual information
//! of the answer and the member (Houlsby et al. 2011, "BALD"; Depeweg et al. 2018):
//!
//! H(mean of members) = mean of H(member) + disagreement, and disagreement ≥ 0 since H is concave.

use super::distribution::{Invalid, probabilities};
use super::entropy::entropy;

/// Makes `values`, the probabilities of `members` ≥ 1 members one after the other, each over as many
/// classes, the mean of the members. Gives the mean of the members' entropies, in bits.
///
/// # Errors
/// The first member, counted from 0, that is no distribution (see [`probabilities`]), and why. The
/// values are then not to be used.
pub fn pool(values: &mut Vec<f64>, members: usize) -> Result<f64, (usize, Invalid)> {
    let classes = values.len() / members;
    if classes == 0 {
        return Err((0, Invalid::Empty));
    }
    let mut bits = 0.0;
    for (member, p) in values.chunks_exact_mut(classes).enumerate() {
        probabilities(p).map_err(|invalid| (member, invalid))?;
        bits += entropy(p);
    }
    let (mean, others) = values.split_at_mut(classes);
    for other in others.chunks_exact(classes) {
        for (sum, p) in mean.iter_mut().zip(other) {
            *sum += p;
        }
    }
    for sum in mean {
        *sum /= members as f64;
    }
    values.truncate(classes);
    Ok(bits / members as f64)
}
