//! What an event brings to the sketches of a row, side by side: a coupon for each unique count,
//! then a sample for each distribution. A row takes it from one place of memory, and keeps it as it
//! is until there is enough of it to be worth a look at the sketches.

use sketches::quantile::Sample;
use sketches::unique::Coupon;

use crate::event::Bitmap;

/// Words that are copied at once.
pub type Unit = [u32; 4];

/// Words of a coupon; 0 where the unique count does not see the event.
const COUPON_WORDS: usize = 1;

/// Words of a sample; its first is [`NO_SAMPLE`] where the distribution does not see the event.
const SAMPLE_WORDS: usize = 3;

/// The first word of no sample.
const NO_SAMPLE: u32 = u32::MAX;

/// How an input lies in its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputForm {
    uniques: usize,
    quantiles: usize,
}

impl InputForm {
    /// For rows of so many unique counts and distributions.
    pub fn new(uniques: usize, quantiles: usize) -> Self {
        Self { uniques, quantiles }
    }

    /// How many unique counts there are.
    pub fn uniques(self) -> usize {
        self.uniques
    }

    /// How many distributions there are.
    pub fn quantiles(self) -> usize {
        self.quantiles
    }

    /// Units of one input; 0 where a row has no such sketch.
    #[inline]
    pub fn units(self) -> usize {
        (self.uniques * COUPON_WORDS + self.quantiles * SAMPLE_WORDS)
            .div_ceil(size_of::<Unit>() / size_of::<u32>())
    }

    /// Appends what the unique count at a place sees of the inputs at some places.
    #[inline]
    pub fn coupons(
        self,
        unique: usize,
        inputs: &[Unit],
        places: impl Iterator<Item = usize>,
        out: &mut Vec<Coupon>,
    ) {
        let (words, step, at) = (inputs.as_flattened(), self.words(), self.coupon_at(unique));
        out.extend(places.filter_map(|place| Coupon::from_bits(words[place * step + at])));
    }

    /// Appends what the distribution at a place sees of the inputs at some places.
    #[inline]
    pub fn samples(
        self,
        quantile: usize,
        inputs: &[Unit],
        places: impl Iterator<Item = usize>,
        out: &mut Vec<Sample>,
    ) {
        let (words, step, at) = (inputs.as_flattened(), self.words(), self.sample_at(quantile));
        out.extend(places.filter_map(|place| {
            let words = words[place * step + at..].first_chunk::<SAMPLE_WORDS>()?;
            (words[0] != NO_SAMPLE).then(|| Sample::from_words(*words))
        }));
    }

    /// Words of one input, those that are not used included.
    #[inline]
    fn words(self) -> usize {
        self.units() * size_of::<Unit>() / size_of::<u32>()
    }

    #[inline]
    fn coupon_at(self, unique: usize) -> usize {
        unique * COUPON_WORDS
    }

    #[inline]
    fn sample_at(self, quantile: usize) -> usize {
        self.uniques * COUPON_WORDS + quantile * SAMPLE_WORDS
    }
}

/// The inputs of a batch's events to rows of one form, in memory that is reused.
#[derive(Default)]
pub struct Inputs {
    form: InputForm,
    units: Vec<Unit>,
}

impl Inputs {
    /// Makes room for the inputs of so many events.
    pub fn begin(&mut self, form: InputForm, events: usize) {
        self.form = form;
        self.units.clear();
        self.units.resize(events * form.units(), Unit::default());
    }

    /// An event's input.
    #[inline]
    pub fn get(&self, event: usize) -> &[Unit] {
        let units = self.form.units();
        &self.units[event * units..][..units]
    }

    /// The inputs of all events.
    #[inline]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Puts the coupon of each event that is selected; none: of all.
    pub fn put_coupons(&mut self, unique: usize, coupons: &[Coupon], selected: Option<&Bitmap>) {
        let at = self.form.coupon_at(unique);
        let inputs = self.units.chunks_exact_mut(self.form.units()).zip(coupons);
        for (event, (input, coupon)) in inputs.enumerate() {
            let is_seen = selected.is_none_or(|s| s.get(event));
            input.as_flattened_mut()[at] = if is_seen { coupon.to_bits() } else { 0 };
        }
    }

    /// Puts the sample of each event that is selected; none: of all.
    pub fn put_samples(&mut self, quantile: usize, samples: &[Sample], selected: Option<&Bitmap>) {
        let at = self.form.sample_at(quantile);
        let inputs = self.units.chunks_exact_mut(self.form.units()).zip(samples);
        for (event, (input, sample)) in inputs.enumerate() {
            let is_seen = selected.is_none_or(|s| s.get(event));
            let words = if is_seen { sample.to_words() } else { [NO_SAMPLE, 0, 0] };
            input.as_flattened_mut()[at..][..SAMPLE_WORDS].copy_from_slice(&words);
        }
    }
}
