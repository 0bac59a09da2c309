//! Inputs of a row that its sketches have not taken yet.
//!
//! Most rows change by an event or two at a time, and their sketches are in no cache. So what
//! comes to a row is first written down behind what came before, which touches one line of memory,
//! and goes into the sketches when there is enough of it. Whoever reads a row reads both.

use std::borrow::Cow;

use sketches::prefetch::{prefetch, prefetch_all};
use sketches::quantile::{Quantile, Sample};
use sketches::unique::{Coupon, Unique};

use crate::partition::{InputForm, Unit};

/// The most inputs that wait.
const MOST: usize = 16;

/// Inputs that wait, all of one form.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Vec<Unit>);

impl Buffer {
    /// Whether so many more may wait as well.
    #[inline]
    pub fn has_room(&self, form: InputForm, inputs: usize) -> bool {
        self.0.len() + inputs * form.units() <= MOST * form.units()
    }

    /// What waits.
    #[inline]
    pub fn inputs(&self) -> &[Unit] {
        &self.0
    }

    /// How many wait.
    #[inline]
    fn len(&self, form: InputForm) -> usize {
        self.0.len() / form.units().max(1)
    }

    /// Lets so many inputs wait as well, for which there must be room; gives by how many bytes its
    /// heap memory grew.
    #[inline]
    pub fn push_all<'a>(
        &mut self,
        form: InputForm,
        count: usize,
        inputs: impl Iterator<Item = &'a [Unit]>,
    ) -> usize {
        let needed = self.0.len() + count * form.units();
        let growth = if needed <= self.0.capacity() { 0 } else { self.grow(form, needed) };
        // Unit by unit: they are too few for a call to copy them.
        inputs.flatten().for_each(|unit| self.0.push(*unit));
        growth
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, form: InputForm, needed: usize) -> usize {
        let before = self.0.capacity();
        let room = needed.max((2 * before).min(MOST * form.units()));
        self.0.reserve_exact(room - self.0.len());
        (self.0.capacity() - before) * size_of::<Unit>()
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what waited; the room stays.
    #[inline]
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Asks for the place behind what waits.
    #[inline]
    pub fn prefetch_end(&self) {
        self.0.last().into_iter().for_each(prefetch);
    }

    /// Asks for what waits.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_all(&self.0[..]);
    }

    /// Bytes on the heap.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Unit>()
    }

    /// Adds what waits for the unique count at a place to another.
    pub fn add_coupons(&self, form: InputForm, at: usize, unique: &mut Unique) {
        let mut coupons = Vec::new();
        form.coupons(at, &self.0, 0..self.len(form), &mut coupons);
        unique.insert_all(&coupons);
    }

    /// Adds what waits for the distribution at a place to another.
    pub fn add_samples(&self, form: InputForm, at: usize, quantile: &mut Quantile) {
        let mut samples = Vec::new();
        form.samples(at, &self.0, 0..self.len(form), &mut samples);
        quantile.insert_all(&samples);
    }

    /// The unique count at a place, which is `settled`, with what waits.
    pub fn unique<'a>(&self, form: InputForm, at: usize, settled: &'a Unique) -> Cow<'a, Unique> {
        let mut unique = Cow::Borrowed(settled);
        if !self.is_empty() {
            self.add_coupons(form, at, unique.to_mut());
        }
        unique
    }

    /// The distribution at a place, which is `settled`, with what waits.
    pub fn quantile<'a>(
        &self,
        form: InputForm,
        at: usize,
        settled: &'a Quantile,
    ) -> Cow<'a, Quantile> {
        let mut quantile = Cow::Borrowed(settled);
        if !self.is_empty() {
            self.add_samples(form, at, quantile.to_mut());
        }
        quantile
    }
}

/// Inputs of a row on their way into its sketches, apart by sketch, in memory that is reused.
pub struct Gathered {
    form: InputForm,
    coupons: Vec<Vec<Coupon>>,
    samples: Vec<Vec<Sample>>,
}

impl Gathered {
    /// None yet.
    pub fn new(form: InputForm) -> Self {
        let (coupons, samples) =
            (vec![Vec::new(); form.uniques()], vec![Vec::new(); form.quantiles()]);
        Self { form, coupons, samples }
    }

    /// Adds what waits, and then the inputs of some events.
    #[inline]
    pub fn gather(
        &mut self,
        buffer: &Buffer,
        inputs: &[Unit],
        events: impl Iterator<Item = usize> + Clone,
    ) {
        let (form, waiting) = (self.form, buffer.len(self.form));
        for (at, coupons) in self.coupons.iter_mut().enumerate() {
            form.coupons(at, buffer.inputs(), 0..waiting, coupons);
            form.coupons(at, inputs, events.clone(), coupons);
        }
        for (at, samples) in self.samples.iter_mut().enumerate() {
            form.samples(at, buffer.inputs(), 0..waiting, samples);
            form.samples(at, inputs, events.clone(), samples);
        }
    }

    /// Asks for what the sketches will change.
    #[inline]
    pub fn prefetch(&self, uniques: &[Unique], quantiles: &[Quantile]) {
        uniques.iter().zip(&self.coupons).for_each(|(unique, all)| unique.prefetch_all(all));
        quantiles.iter().zip(&self.samples).for_each(|(quantile, all)| quantile.prefetch_bins(all));
    }

    /// Hands all over to the sketches; gives by how many bytes their heap memory grew.
    #[inline]
    pub fn insert(&mut self, uniques: &mut [Unique], quantiles: &mut [Quantile]) -> isize {
        let mut growth = 0;
        for (unique, coupons) in uniques.iter_mut().zip(&mut self.coupons) {
            growth += unique.insert_all(coupons) as isize;
            coupons.clear();
        }
        for (quantile, samples) in quantiles.iter_mut().zip(&mut self.samples) {
            growth += quantile.insert_all(samples);
            samples.clear();
        }
        growth
    }
}

#[cfg(test)]
mod tests {
    use sketches::quantile::Mapping;

    use super::*;

    /// What comes to a row is the same whether it waits or not, at every length of what waits.
    #[test]
    fn what_waits_counts_as_what_was_taken() {
        let (form, mapping) = (InputForm::new(1, 1), Mapping::new(0.01).unwrap());
        let coupon = |n: u32| Coupon::of_i64(i64::from(n % 150));
        let sample = |n: u32| Sample::new(1.5f64.powi(n as i32 % 40), &mapping).unwrap();
        let mut buffer = Buffer::default();
        let mut gathered = Gathered::new(form);
        let new = || (Unique::new(14), Quantile::new(mapping.kept()));
        let ((mut unique, mut quantile), (mut all_coupons, mut all_samples)) = (new(), new());
        let (mut taken, mut heap_bytes) = (0, 0);
        for n in 0..400 {
            let [bin, low, high] = sample(n).to_words();
            // Of some events the unique count sees nothing, of some the distribution.
            let unit = [
                if n % 5 == 0 { 0 } else { coupon(n).to_bits() },
                if n % 7 == 0 { u32::MAX } else { bin },
                low,
                high,
            ];
            if n % 5 != 0 {
                all_coupons.insert(coupon(n));
            }
            if n % 7 != 0 {
                all_samples.insert(sample(n));
            }
            if buffer.has_room(form, 1) {
                heap_bytes += buffer.push_all(form, 1, std::iter::once(&[unit][..])) as isize;
            } else {
                gathered.gather(&buffer, &[unit], std::iter::once(0));
                buffer.clear();
                let (uniques, quantiles) =
                    (std::slice::from_mut(&mut unique), std::slice::from_mut(&mut quantile));
                gathered.prefetch(uniques, quantiles);
                heap_bytes += gathered.insert(uniques, quantiles);
                taken += 1;
            }
            assert_eq!(*buffer.unique(form, 0, &unique), all_coupons, "{n}");
            assert_eq!(*buffer.quantile(form, 0, &quantile), all_samples, "{n}");
            let bytes = unique.heap_bytes() + quantile.heap_bytes() + buffer.heap_bytes();
            assert_eq!(heap_bytes, bytes as isize, "{n}");
        }
        assert_eq!(taken, 400 / (MOST + 1));
    }
}
