//! Finds the columns t, x, y and p of a text, the types of their numbers, and the unit of the times.

use std::path::Path;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::remedy::Remedy;
use crate::source::columns::{
    ArrayInfo, ArrayKind, FieldPath, Fields, MemberInfo, Part, Role, Survey, TakenColumns, TakenField,
};
use crate::source::fields::check_times;
use crate::source::layouts::npy_columns::no_label;
use crate::source::layouts::text_pieces::Beginning;
use crate::source::options::{Map, SourceOptions, TableColumns};
use crate::source::text::{Kind, RowFormat, Slot, Store, Table, bracketed, role_of, size_in_name};
use crate::source::times::Told;
use crate::time_unit::TimeUnit;

/// How a text is read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) format: RowFormat,
    pub(super) beginning: Beginning,
    pub(super) sensor: Option<SensorSize>,
    /// Notes for the user about the columns and the unit.
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// Finds the columns of a text from its first lines.
    ///
    /// # Errors
    /// - [`Error::Columns`] if the columns are not found.
    /// - [`Error::BadRow`] if a line before the first row may be an event.
    /// - [`Error::OddUnit`] and errors of [`check_times`] for the unit of times.
    pub(super) fn of(path: &Path, table: &Table<'_>, options: &SourceOptions) -> Result<Plan> {
        if let Some((line, text)) = table.odd {
            let expected = format!("a row of {} cells as the others, or a header", table.kinds.len());
            return Err(bad_row(path, line, None, expected, format!("{text:?}")));
        }
        let mut notes = Vec::new();
        let places = match (&options.columns, &options.map) {
            (Some(order), _) => ordered(path, table, order)?,
            (None, Some(map)) => mapped(path, table, map)?,
            (None, None) => found(path, table, &mut notes)?,
        };
        let role_at = |i: usize| Role::ALL.into_iter().find(|&role| places[role as usize] == Some(i));
        let slots = (0..table.kinds.len()).map(|i| slot(path, table, i, role_at(i))).collect::<Result<Vec<Slot>>>()?;
        let size_of = |role: Role| places[role as usize].and_then(|i| size_in_name(table.names.get(i)?));
        let size = table.size.or_else(|| Some((size_of(Role::X)?, size_of(Role::Y)?)));
        let polarities = if places[Role::P as usize].is_some() { 2 } else { 1 };
        let sensor = size.and_then(|(width, height)| SensorSize::plausible(width, height, polarities));
        let mut plan = Plan {
            format: RowFormat {
                slots,
                separator: table.separator,
                comment: table.comment,
                header: table.header.map(Into::into),
                unit: TimeUnit::Microseconds,
            },
            beginning: Beginning { lines: table.before, has_mark: table.has_mark, line_end: table.line_end },
            sensor,
            notes,
        };
        plan.set_unit(path, options)?;
        if options.map.is_none() && options.columns.is_none() {
            check_times(path, &Head::of(table), &plan.fields(), plan.format.unit)?;
        }
        Ok(plan)
    }

    /// Sets the unit of the times. It is the user's unit, or else the unit in the name of t. Without both, float times
    /// are in seconds and integer times are in microseconds.
    fn set_unit(&mut self, path: &Path, options: &SourceOptions) -> Result<()> {
        let Some(t) = self.format.slots.iter().find(|slot| slot.role == Some(Role::T)) else { return Ok(()) };
        let usual = if t.store == Store::Float { TimeUnit::Seconds } else { TimeUnit::Microseconds };
        let told = Told::by_name(&t.name);
        if let (None, None, Some(unit)) = (&told, options.time_unit, bracketed(&t.name)) {
            let (place, got, multiple) =
                (format!("the name of {}", t.name), format!("{unit:?}"), TimeUnit::measure(unit));
            return Err(Error::OddUnit { path: path.into(), place, got, multiple });
        }
        let (unit, note) = told.map_or(Ok((usual, None)), |told| told.unit(path, options.time_unit, usual))?;
        self.format.unit = options.time_unit.unwrap_or(unit);
        self.notes.extend(note);
        Ok(())
    }

    /// Changes the type of a column to `store`, because a later row needs a wider type. `path` and `options` must be
    /// the ones that [`Plan::of`] was called with.
    pub(super) fn widen(&mut self, path: &Path, options: &SourceOptions, slot: usize, store: Store) -> Result<()> {
        let slot = &mut self.format.slots[slot];
        slot.store = store;
        if slot.role == Some(Role::T) {
            self.notes.clear();
            self.set_unit(path, options)?;
        }
        Ok(())
    }

    fn fields(&self) -> Fields {
        let field = |role: Role| {
            let slot = self.format.slots.iter().find(|slot| slot.role == Some(role))?;
            Some(FieldPath { array: String::new(), part: Part::Member(slot.name.clone()) })
        };
        Role::ALL.map(field)
    }

    pub(super) fn taken(&self) -> TakenColumns {
        let taken = |role: Role| {
            let slot = self.format.slots.iter().find(|slot| slot.role == Some(role))?;
            let kind = match (slot.store, role) {
                (Store::Float, _) => "float64",
                (Store::Words(..), _) => "words",
                (Store::Narrow, Role::X | Role::Y) => "uint16",
                (Store::Narrow, Role::P) => "int8",
                _ => "int64",
            };
            Some(TakenField { field: slot.name.clone(), kind: kind.into() })
        };
        let unused = self.format.slots.iter().filter(|slot| slot.role.is_none()).map(|slot| slot.name.clone());
        TakenColumns {
            fields: Role::ALL.map(taken),
            unit: Some(self.format.unit),
            unused: unused.collect(),
            ..TakenColumns::default()
        }
    }
}

pub(super) fn bad_row(path: &Path, line: u64, column: Option<&str>, expected: String, got: String) -> Error {
    let place = column.map_or(String::new(), |column| format!(", column {column}"));
    Error::BadRow { path: path.into(), line, place, expected, got, events: 0 }
}

/// The index of each of the columns t, x, y and p.
type Places = [Option<usize>; 4];

/// Returns the name of a column, or its index in brackets if it has none.
fn name(table: &Table<'_>, i: usize) -> String {
    match table.names.get(i) {
        Some(name) if !name.is_empty() => (*name).into(),
        _ => format!("[{i}]"),
    }
}

/// Takes the columns in the order that the user gave.
fn ordered(path: &Path, table: &Table<'_>, order: &TableColumns) -> Result<Places> {
    if order.width() == table.kinds.len() {
        return Ok(order.places());
    }
    Err(Error::Columns {
        path: path.into(),
        place: "columns".into(),
        expected: format!("{} columns, as given", order.width()),
        got: format!("{}{}", table.kinds.len(), first_row(table)),
        remedies: table.order().map(Remedy::Columns).into_iter().collect(),
    })
}

/// Takes the columns with the names, or the indices, that the user gave.
fn mapped(path: &Path, table: &Table<'_>, map: &Map) -> Result<Places> {
    no_label(path, Some(map))?;
    let place = |(name, index): &(String, Option<usize>)| {
        let found = match index {
            Some(index) if name.is_empty() => Some(*index).filter(|&i| i < table.kinds.len()),
            Some(_) => None,
            None => table.names.iter().position(|own| own == name),
        };
        found.map(Some).ok_or_else(|| {
            let names: Vec<String> = (0..table.kinds.len()).map(|i| self::name(table, i)).collect();
            let asked = index.map_or(name.clone(), |index| format!("{name}[{index}]"));
            Error::Columns {
                path: path.into(),
                place: "columns".into(),
                expected: format!("a column {asked}"),
                got: names.join(", "),
                remedies: Vec::new(),
            }
        })
    };
    let optional = |field: &Option<_>| field.as_ref().map_or(Ok(None), place);
    Ok([place(&map.t)?, place(&map.x)?, optional(&map.y)?, optional(&map.p)?])
}

/// Finds the columns by their names. Texts of e2vid have no names; they are recognised by their form, and a note for
/// the user is added.
fn found(path: &Path, table: &Table<'_>, notes: &mut Vec<String>) -> Result<Places> {
    let order = table.order();
    let refused = |expected: String, got: String, orders: Vec<String>| {
        let (place, remedies) = ("columns".into(), orders.into_iter().map(Remedy::Columns).collect());
        Err(Error::Columns { path: path.into(), place, expected, got, remedies })
    };
    if table.names.is_empty() {
        let is_e2vid = table.size.is_some() && table.separator.is_none() && order.as_deref() == Some("t,x,y,p");
        if is_e2vid {
            notes.push("the columns have no names: t, x, y, p is taken, as in texts of e2vid".into());
            return Ok([Some(0), Some(1), Some(2), Some(3)]);
        }
        let expected = "a header with the names of the columns, such as t,x,y,p, or their order to be named".into();
        return refused(expected, format!("none{}", first_row(table)), order.into_iter().collect());
    }
    let mut places = [None; 4];
    for role in Role::ALL {
        let all = |exact: bool| {
            let is = move |(_, name): &(usize, &&str)| {
                if exact { Role::of(name) == Some(role) } else { role_of(name) == Some(role) }
            };
            table.names.iter().enumerate().filter(is).map(|(i, _)| i).collect::<Vec<usize>>()
        };
        let exact = all(true);
        let fitting = if exact.is_empty() { all(false) } else { exact };
        places[role as usize] = match fitting[..] {
            [] => None,
            [only] => Some(only),
            [first, second, ..] => {
                let got = format!("{} and {}", name(table, first), name(table, second));
                let of = |taken: usize| {
                    let word = |i: usize| {
                        let role_at = role_of(table.names[i]);
                        role_at.filter(|&at| at != role || i == taken).map_or("_", Role::name)
                    };
                    (0..table.names.len()).map(word).collect::<Vec<_>>().join(",")
                };
                return refused(format!("one column for {}", role.name()), got, vec![of(first), of(second)]);
            }
        };
    }
    match places {
        [Some(_), Some(_), ..] => Ok(places),
        _ => {
            let expected = "columns with the usual names of t and x, and of y and p if there are any".into();
            refused(expected, table.names.join(", "), order.into_iter().collect())
        }
    }
}

fn first_row(table: &Table<'_>) -> String {
    table.rows.first().map_or(String::new(), |row| format!("; the first row is {:?}", row.join(" ")))
}

/// Returns how a column is read: with the narrowest type that fits the first rows.
fn slot(path: &Path, table: &Table<'_>, i: usize, role: Option<Role>) -> Result<Slot> {
    let has_comma = table.has_comma(i);
    let slot = |store: Store| Slot { name: name(table, i), role, store, has_comma };
    let Some(role) = role else { return Ok(slot(Store::Skip)) };
    let store = match table.kinds[i] {
        Kind::Words(off, on) if role == Role::P => Store::Words(off, on),
        Kind::Numbers => {
            let fits = |cell: &str| match (cell.parse::<i64>(), role) {
                (Err(_), _) => Store::Float,
                (Ok(_), Role::T) => Store::Wide,
                (Ok(-1..=127), Role::P) | (Ok(0..65_536), Role::X | Role::Y) => Store::Narrow,
                (Ok(_), _) => Store::Wide,
            };
            let widest = |a: Store, b: Store| match (a, b) {
                (Store::Float, _) | (_, Store::Float) => Store::Float,
                (Store::Wide, _) | (_, Store::Wide) => Store::Wide,
                (a, _) => a,
            };
            let narrow = if role == Role::T { Store::Wide } else { Store::Narrow };
            table.cells(i).map(fits).fold(narrow, widest)
        }
        Kind::Words(..) | Kind::Text => {
            let cell = table.cells(i).next().unwrap_or_default();
            let expected = if role == Role::P { "numbers, or words for off and on" } else { "numbers" };
            return Err(bad_row(path, table.before + 1, Some(&name(table, i)), expected.into(), format!("{cell:?}")));
        }
    };
    Ok(slot(store))
}

/// The first rows of a text, in the form that [`check_times`] needs: an array of records.
struct Head<'a, 'b> {
    table: &'a Table<'b>,
    info: [ArrayInfo; 1],
}

impl<'a, 'b> Head<'a, 'b> {
    fn of(table: &'a Table<'b>) -> Head<'a, 'b> {
        let member = |i: usize| MemberInfo {
            name: name(table, i),
            kind: "text".into(),
            is_number: table.kinds[i] == Kind::Numbers,
        };
        let kind = ArrayKind::Record((0..table.kinds.len()).map(member).collect());
        Head { table, info: [ArrayInfo { name: String::new(), shape: vec![table.rows.len() as u64], kind }] }
    }
}

impl Survey for Head<'_, '_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.info
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let Part::Member(member) = &field.part else { return None };
        let i = (0..self.table.kinds.len()).find(|&i| name(self.table, i) == *member)?;
        Some(self.table.values(i))
    }

    fn looked(&self) -> String {
        String::new()
    }
}
