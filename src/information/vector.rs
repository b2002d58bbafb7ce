//! One kernel, compiled for each width of vectors that a processor may have.
//!
//! Two runs over the same records agree bit for bit, on whatever machines. So a kernel fixes its
//! order of additions: always [`LANES`] partial sums, number i in sum i mod 8, and [`total`] at the
//! end. It is plain arithmetic without fused operations, which Rust does not introduce either; the
//! compiler turns it into vectors of any width, and all of them give the same bits.
//!
//! On x86-64 `widest!` compiles a function for AVX-512, for AVX2 and for every processor, and picks
//! when it is called. Elsewhere (NEON belongs to every 64-bit ARM) there is one version.

use std::marker::PhantomData;

/// How many partial sums a kernel keeps: the 64-bit lanes of the widest vectors.
pub const LANES: usize = 8;

/// The partial sums together.
#[inline(always)]
pub fn total(sums: [f64; LANES]) -> f64 {
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// What is done with values, eight at a time. (A closure might stay a function of its own, which is
/// then compiled for every processor; its methods are to be `#[inline(always)]`.)
pub trait Kernel {
    fn take(&mut self, eight: &[f64; LANES]);
}

/// Gives `kernel` all of `values`; the last are made eight with zeros.
#[inline(always)]
pub fn by_lanes<K: Kernel>(values: &[f64], mut kernel: K) -> K {
    let (chunks, rest) = values.as_chunks::<LANES>();
    for eight in chunks {
        kernel.take(eight);
    }
    if !rest.is_empty() {
        kernel.take(&std::array::from_fn(|i| {
            rest.get(i).copied().unwrap_or(0.0)
        }));
    }
    kernel
}

/// From so many values on, sums by blocks are faster than by lanes.
pub const MANY: usize = 64;

/// What is summed of a value; as for a [`Kernel`], this is to be `#[inline(always)]`.
pub trait Term {
    fn of(value: f64) -> f64;
}

/// The sum of the terms of many values. The terms of a block are made first, in a loop that a compiler
/// is sure to see vectors in, and then added in the same order as by lanes.
#[inline(always)]
pub fn sum_by_blocks<T: Term>(values: &[f64]) -> f64 {
    let (blocks, rest) = values.as_chunks::<MANY>();
    let mut sums = Sums::<T>::default();
    for block in blocks {
        let mut terms = [0.0; MANY];
        for (term, &value) in terms.iter_mut().zip(block) {
            *term = T::of(value);
        }
        for eight in terms.as_chunks::<LANES>().0 {
            for (sum, term) in sums.0.iter_mut().zip(eight) {
                *sum += term;
            }
        }
    }
    total(by_lanes(rest, sums).0)
}

/// Sums of terms, by lane.
pub struct Sums<T>(pub [f64; LANES], PhantomData<T>);

impl<T> Default for Sums<T> {
    fn default() -> Self {
        Self([0.0; LANES], PhantomData)
    }
}

impl<T: Term> Kernel for Sums<T> {
    #[inline(always)]
    fn take(&mut self, eight: &[f64; LANES]) {
        for (sum, &value) in self.0.iter_mut().zip(eight) {
            *sum += T::of(value);
        }
    }
}

/// What a processor can do, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    Any,
    Avx2,
    Avx512,
}

/// What this processor can do; the standard library remembers it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn width() -> Width {
    #[cfg(test)]
    if let Some(width) = forced::get() {
        return width;
    }
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        Width::Avx512
    } else if is_x86_feature_detected!("avx2") {
        Width::Avx2
    } else {
        Width::Any
    }
}

/// Tests see each version, one thread at a time.
#[cfg(all(test, target_arch = "x86_64"))]
pub mod forced {
    use std::cell::Cell;

    use super::Width;

    thread_local!(static FORCED: Cell<Option<Width>> = const { Cell::new(None) });

    pub fn get() -> Option<Width> {
        FORCED.get()
    }

    /// What `run` gives with each version that this processor can run, the widest first.
    pub fn with_each<T>(run: impl Fn() -> T) -> Vec<T> {
        let widest = super::width();
        let widths = [Width::Avx512, Width::Avx2, Width::Any];
        let run_at = |width| {
            FORCED.set(Some(width));
            let result = run();
            FORCED.set(None);
            result
        };
        widths
            .into_iter()
            .filter(|width| *width <= widest)
            .map(run_at)
            .collect()
    }
}

/// Makes a function of three versions of itself, one for each [`Width`].
macro_rules! widest {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $output:ty
        $body:block
    ) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) -> $output {
            #[inline(always)]
            fn any($($argument: $type),*) -> $output $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::information::vector::{Width, width};

                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) -> $output {
                    any($($argument),*)
                }

                #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
                fn avx512($($argument: $type),*) -> $output {
                    any($($argument),*)
                }

                #[allow(unsafe_code)]
                match width() {
                    // SAFETY: the processor has these instructions, or it would be another width.
                    Width::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    Width::Avx2 => return unsafe { avx2($($argument),*) },
                    Width::Any => {}
                }
            }
            any($($argument),*)
        }
    };
}

pub(crate) use widest;
