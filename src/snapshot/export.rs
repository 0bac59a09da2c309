//! Publishes one summary's day from a view of the store: rows stream into files without
//! names while they are hashed; what says something new becomes the next revision.
//!
//! In: a [`Reader`] and an [`Order`]. Out: files, and [`Published`]. Does not decide when,
//! reads no clock, and keeps no half publication: what fails or is stopped leaves the
//! former revision as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use super::columns::{Columns, Folded};
use super::csv;
use super::durable::{self, FileError, TempFile};
use super::excel::{self, ExcelFiles};
use super::files::{self, Kind, Name};
use super::manifest::{self, Manifest};
use super::revision::{Draft, Published, Target};
use crate::config::Config;
use crate::event::{date, timestamp};
use crate::key::Key;
use crate::output::Finisher;
use crate::row::Layout;
use crate::row::codec::StoredRow;
use crate::store::registry::RegisteredSummary;
use crate::store::{DayRecord, Reader, Registry, StoreError};

/// Rows between two looks at the stop flag.
const CHECK_EVERY: u64 = 1024;

/// What is to be published.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// Days since 1970.
    pub day: i32,
    /// Whether the day has ended, and its grace.
    pub complete: bool,
    /// Whether the dialect `excel` is wanted as well.
    pub excel: bool,
}

/// Why nothing was published.
#[derive(Debug)]
pub enum Failure {
    /// The program is stopping.
    Stopped,
    /// A sentence that names the place and what to do.
    Failed(String),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Publishes days.
pub struct Exporter {
    config: Arc<Config>,
    registry: Arc<Registry>,
    finishers: Arc<Vec<Finisher>>,
    columns: Vec<Columns>,
    root: PathBuf,
    excel_rows: u64,
    stop: Arc<AtomicBool>,
}

impl Exporter {
    /// Publishes into the folder of the configuration. `layouts` and `finishers` are per
    /// summary; setting `stop` ends a publication that is under way.
    pub fn new(
        config: Arc<Config>,
        registry: Arc<Registry>,
        layouts: &[Arc<Layout>],
        finishers: Arc<Vec<Finisher>>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let schema = &config.schema;
        let columns = schema.summaries.iter().zip(layouts);
        let columns = columns.map(|(s, layout)| Columns::new(schema, s, Arc::clone(layout)));
        Self {
            columns: columns.collect(),
            root: files::root(&config.data_dir),
            excel_rows: excel::ROWS,
            config,
            registry,
            finishers,
            stop,
        }
    }

    /// With so many rows in one file of the dialect `excel`.
    #[must_use]
    pub fn with_excel_rows(self, excel_rows: u64) -> Self {
        Self { excel_rows, ..self }
    }

    /// Removes what a run that died has left half done.
    ///
    /// # Errors
    /// Where a folder cannot be read, or a file not removed.
    pub fn clean(&self) -> Result<(), FileError> {
        durable::clean(&self.root)
    }

    /// Publishes a day as the reader sees it. None: the store has no rows of it.
    ///
    /// # Errors
    /// Why nothing was published; what was published before is as it was.
    pub fn publish(
        &self,
        reader: &Reader<'_>,
        order: &Order,
    ) -> Result<Option<Published>, Failure> {
        let summary = &self.config.schema.summaries[order.summary];
        let Some(registered) = self.registry.summary(&summary.name) else { return Ok(None) };
        let Some(record) = reader.day(registered.number, order.day)? else { return Ok(None) };
        let folder = self.root.join(&summary.name);
        durable::make_folder(&folder)?;
        let target = Target { day: order.day, folder: &folder };
        let present = target.revisions()?;
        let newest = present.last_key_value().map_or(0, |(revision, _)| *revision);
        let described = target.read_manifest(newest);
        if let Some(manifest) = &described
            && manifest.journal_position > reader.position.sequence
        {
            return Err(Failure::Failed(format!(
                "{}: revision {newest} holds {} events of this server, the store only {}: it is \
                 older; put the newer one back, or move the files of this day away",
                folder.join(files::link(order.day)).display(),
                manifest.journal_position,
                reader.position.sequence
            )));
        }
        let mut draft = self.draft(reader, order, &folder, registered, &record)?;
        let published = match described.filter(|m| m.is_same_content(&draft.manifest)) {
            Some(manifest) => draft.confirm(&target, manifest)?,
            None => {
                draft.manifest.revision = files::next_revision(newest).ok_or_else(|| {
                    let name = Name { day: order.day, revision: newest, kind: Kind::Exact };
                    let path = folder.join(name.text());
                    let path = path.display();
                    Failure::Failed(format!("no revision can follow {path}; move it away"))
                })?;
                draft.commit(&target)?
            }
        };
        if let Err(error) = target.prune(self.config.snapshots.keep_revisions) {
            // The publication is whole; the next one tries again.
            tracing::warn!(%error, "an old revision cannot be removed");
        }
        Ok(Some(published))
    }

    /// Writes the rows to files without names.
    fn draft(
        &self,
        reader: &Reader<'_>,
        order: &Order,
        folder: &Path,
        registered: &RegisteredSummary,
        record: &DayRecord,
    ) -> Result<Draft, Failure> {
        let (columns, summary) =
            (&self.columns[order.summary], &self.config.schema.summaries[order.summary]);
        let finisher = &self.finishers[order.summary];
        // Its revision is not known yet; no other file is being written for this day.
        let name = Name { day: order.day, revision: 0, kind: Kind::Exact }.text();
        let mut exact = TempFile::create(folder, &name)?;
        let mut excel = match order.excel {
            true => Some(ExcelFiles::create(folder, order.day, columns.list(), self.excel_rows)?),
            false => None,
        };
        let (mut hash, mut bytes, mut count) = (Sha256::new(), 0, 0u64);
        let mut line = String::new();
        csv::put_names(columns.list().iter().map(|c| c.name.as_str()), &mut line);
        let (mut cells, mut replaced) = (Vec::new(), 0);
        let mut rows = reader.rows(registered.number, order.day, &[]);
        let mut folded = vec![Folded::default(); summary.aggregates.len()];
        loop {
            hash.update(&line);
            bytes += line.len() as u64;
            exact.write(line.as_bytes())?;
            if count.is_multiple_of(CHECK_EVERY) && self.stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            let Some((key, row)) = rows.next()? else { break };
            let row = StoredRow::decode(row).map_err(|error| {
                let key = crate::key::prefix(registered.number, order.day)
                    .into_iter()
                    .chain(key.iter().copied());
                let key: Vec<u8> = key.collect();
                Failure::Failed(format!("the stored row {:?} is damaged: {error}", Key(&key)))
            })?;
            columns.fill(order.day, key, &row, finisher, &mut cells);
            columns.count_folded(&row, &mut folded);
            count += 1;
            if self.config.snapshots.replaces_nul {
                replaced += csv::replace_nuls(&mut cells);
            }
            line.clear();
            csv::put_exact(&cells, &mut line);
            if let Some(excel) = &mut excel {
                excel.write(&cells)?;
            }
        }
        let manifest = Manifest {
            summary: summary.name.clone(),
            day: date(order.day).to_string(),
            zone: self.config.schema.zone_name.clone(),
            revision: 0,
            complete: order.complete,
            rows: count,
            events: record.events,
            sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes,
            journal_position: reader.position.sequence,
            checkpoint: reader.position.checkpoint,
            as_of: timestamp(reader.position.arrival_us),
            definition: registered.definition(),
            columns: manifest::describe_columns(columns.list()),
            sketches: manifest::describe_sketches(summary, &folded),
            files: Vec::new(),
            excel_cells_cut: 0,
            nul_cells_replaced: replaced,
        };
        Ok(Draft { exact, excel, manifest })
    }
}

#[cfg(test)]
mod tests;
