//! The streams of an AEDAT 4 file, which its header describes in XML. Each stream is a node inside the node `outInfo`:
//!
//! ```xml
//! <node name="outInfo"><node name="0">
//!     <attr key="typeIdentifier" type="string">EVTS</attr>
//!     <node name="info"><attr key="sizeX" type="int">346</attr> ... </node>
//! </node></node>
//! ```

/// A stream of an AEDAT 4 file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) id: i32,
    /// Identifier of the stream's packets: EVTS, FRME, IMUS or TRIG.
    pub(super) kind: String,
    pub(super) name: String,
    /// Width and height of the sensor, if the header gives them.
    pub(super) size: Option<(u64, u64)>,
}

impl Stream {
    /// Returns what the stream's packets contain, as text for messages.
    pub(super) fn contents(&self) -> &str {
        match self.kind.as_str() {
            "EVTS" => "events",
            "FRME" => "frames",
            "IMUS" => "IMU samples",
            "TRIG" => "triggers",
            other => other,
        }
    }
}

/// Returns the streams in an XML description, sorted by `id`.
pub(super) fn streams(xml: &str) -> Vec<Stream> {
    let (mut path, mut streams): (Vec<&str>, Vec<Stream>) = (Vec::new(), Vec::new());
    let (mut width, mut height) = (None, None);
    for (tag, text) in xml.split('<').skip(1).filter_map(|part| part.split_once('>')) {
        if tag.starts_with("node") {
            if !tag.ends_with('/') {
                path.push(attribute(tag, "name").unwrap_or(""));
            }
            if let [.., "outInfo", id] = path[..]
                && let Ok(id) = id.parse()
            {
                streams.push(Stream { id, ..Stream::default() });
                (width, height) = (None, None);
            }
        } else if tag.starts_with("/node") {
            path.pop();
        } else if let (true, Some(key), Some(stream)) =
            (tag.starts_with("attr"), attribute(tag, "key"), streams.last_mut())
        {
            match (&path[..], key) {
                ([.., "outInfo", _], "typeIdentifier") => stream.kind = text.trim().into(),
                ([.., "outInfo", _], "originalOutputName") => stream.name = text.trim().into(),
                ([.., "outInfo", _, "info"], "sizeX") => width = text.trim().parse().ok(),
                ([.., "outInfo", _, "info"], "sizeY") => height = text.trim().parse().ok(),
                _ => {}
            }
            stream.size = width.zip(height);
        }
    }
    streams.sort_by_key(|stream| stream.id);
    streams
}

/// Returns the value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_found_with_their_kind_and_size() {
        let xml = "<dv version=\"2.0\"><node name=\"outInfo\" path=\"/outInfo/\">\n<node name=\"2\" path=\"/2/\">\
                   <attr key=\"typeIdentifier\" type=\"string\">FRME</attr></node><node name=\"0\" path=\"/0/\">\
                   <attr key=\"originalOutputName\" type=\"string\">events</attr>\
                   <attr key=\"typeIdentifier\" type=\"string\">EVTS</attr><node name=\"info\" path=\"/0/info/\">\
                   <attr key=\"sizeX\" type=\"int\">346</attr><attr key=\"sizeY\" type=\"int\">260</attr></node></node>\
                   </node></dv>";
        let of = |id, kind: &str, name: &str, size| Stream { id, kind: kind.into(), name: name.into(), size };
        assert_eq!(streams(xml), [of(0, "EVTS", "events", Some((346, 260))), of(2, "FRME", "", None)]);
        assert_eq!(streams("<node name=\"outInfo\"><node name=\"x"), []);
    }
}
