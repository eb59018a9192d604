//! Lines for programs: an object each, with what is known of the request or the job that it is from.

use std::{
    fmt,
    io::{Write, stderr},
};

use chrono::{SecondsFormat, Utc};
use serde::ser::{SerializeMap, Serializer as _};
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Writes each event to stderr, as an object on a line of its own.
///
/// The fields of the spans around it stand beside its own: `tenant` and `tenant_id` are whose it is.
/// They are the spans' to say. What an event calls the same is `event.tenant`, so that nothing that
/// somebody writes can make a line another tenant's.
pub(super) struct Lines;

/// Names with their values, in the order in which they were told.
#[derive(Debug, Clone, Default)]
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        // what only says how a span is exported
        if name.starts_with("otel.") {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, before)) => *before = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Adds what has none of the names there are, or else another.
    fn add(&mut self, name: &str, value: Value) {
        match self.0.iter().find(|(known, _)| known == name) {
            None => self.0.push((name.into(), value)),
            Some((_, same)) if *same == value => {}
            Some(_) => self.0.push((format!("event.{name}"), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field.name(), value.to_string().into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let about = event.metadata();
        let mut line = begun(about.level().as_str());
        line.set("target", about.target().into());
        let mut own = Fields::default();
        event.record(&mut own);
        if let Some(at) = own.0.iter().position(|(name, _)| name == "message") {
            let (name, message) = own.0.remove(at);
            line.set(&name, message);
        }
        let mut around = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                for (name, value) in &fields.0 {
                    around.set(name, value.clone());
                }
            }
        }
        for (name, value) in around.0.into_iter().chain(own.0) {
            line.add(&name, value);
        }
        write(&line);
    }
}

/// Writes a line that is from no event.
pub(super) fn tell(level: &str, message: &str) {
    let mut line = begun(level);
    line.set("message", message.trim().into());
    write(&line);
}

fn begun(level: &str) -> Fields {
    let mut line = Fields::default();
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    line.set("timestamp", now.into());
    line.set("level", level.into());
    line
}

fn write(line: &Fields) {
    let mut text = written(line);
    text.push(b'\n');
    // in one piece, so that lines of several threads do not mix; who does not read does not matter
    drop(stderr().lock().write_all(&text));
}

fn written(line: &Fields) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut text);
    let written = serializer
        .serialize_map(Some(line.0.len()))
        .and_then(|mut map| {
            for (name, value) in &line.0 {
                map.serialize_entry(name, value)?;
            }
            map.end()
        });
    match written {
        Ok(()) => text,
        // a name and a value can always be written
        Err(_) => b"{}".to_vec(),
    }
}
