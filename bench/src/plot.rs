//! The medians as a picture: SVG, which a README shows as it is and a diff can read.

use std::fmt::Write as _;

/// The ways of one comparison beside each other.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// One way.
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Requests a second: the median over the rounds.
    pub(crate) rate: f64,
    /// The least and the most of them.
    pub(crate) range: (f64, f64),
    /// Processor time of the server, in microseconds for each request.
    pub(crate) server: f64,
    /// The same of PostgreSQL.
    pub(crate) postgres: f64,
}

impl Bar {
    fn both(&self) -> f64 {
        self.server + self.postgres
    }
}

const WIDTH: f64 = 920.0;
/// Where the bars of the throughput begin, and those of the processor time.
const LEFT: [f64; 2] = [190.0, 565.0];
/// How long the longest bar is; its number is beside it.
const LONGEST: f64 = 270.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
/// What a chart takes besides its rows: its title, what its columns are, and room below.
const HEAD: f64 = 62.0;
const LINE: f64 = 18.0;
const MARGIN: f64 = 16.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}\
    .title{font-weight:600;font-size:15px}.small{font-size:11px;fill:#666}.end{text-anchor:end}\
    .rate{fill:#4878a8}.server{fill:#4878a8}.postgres{fill:#c9b06b}.range{stroke:#222}";

/// Draws them one below the other, with the lines of what they were measured on at the end.
pub(crate) fn svg(charts: &[Chart], facts: &str) -> String {
    let rows: usize = charts.iter().map(|chart| chart.bars.len()).sum();
    let facts: Vec<&str> = facts
        .lines()
        .map(|line| line.trim_matches(['-', ' ']))
        .collect();
    let height =
        MARGIN * 2.0 + HEAD * charts.len() as f64 + ROW * rows as f64 + LINE * facts.len() as f64;
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\">\n<title>What tenancy costs</title>\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>"
    );
    let mut top = MARGIN;
    for chart in charts {
        draw(&mut svg, chart, top);
        top += HEAD + ROW * chart.bars.len() as f64;
    }
    for line in facts {
        top += LINE;
        text(&mut svg, "small", MARGIN, top, line);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, chart: &Chart, top: f64) {
    let [left, right] = LEFT;
    text(svg, "title", MARGIN, top + LINE, &chart.title);
    let heads = top + LINE * 2.2;
    text(
        svg,
        "small",
        left,
        heads,
        "requests a second: median, least and most (longer is better)",
    );
    for (class, name, at) in [
        ("server", "server,", right),
        (
            "postgres",
            "PostgreSQL: µs of processor a request",
            right + 62.0,
        ),
    ] {
        bar(svg, class, at, heads - 9.0, 10.0, 10.0);
        text(svg, "small", at + 14.0, heads, name);
    }
    let most = |of: fn(&Bar) -> f64| chart.bars.iter().map(of).fold(0.0, f64::max);
    let (rates, times) = (most(|bar| bar.range.1), most(Bar::both));
    let mut row = heads + 8.0;
    for one in &chart.bars {
        let base = row + BAR - 3.5;
        text(svg, "end", left - 8.0, base, &one.name);

        let (least, most) = one.range;
        bar(svg, "rate", left, row, scaled(one.rate, rates), BAR);
        let (from, to) = (left + scaled(least, rates), left + scaled(most, rates));
        let middle = row + BAR / 2.0;
        let (upper, lower) = (middle - 3.0, middle + 3.0);
        let _ = writeln!(
            svg,
            "<path class=\"range\" d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {upper:.1}V{lower:.1}\
             M{to:.1} {upper:.1}V{lower:.1}\"/>"
        );
        text(svg, "small", to + 6.0, base, &format!("{:.0}", one.rate));

        let server = scaled(one.server, times);
        let postgres = scaled(one.postgres, times);
        bar(svg, "server", right, row, server, BAR);
        bar(svg, "postgres", right + server, row, postgres, BAR);
        let numbers = format!("{:.0} + {:.0}", one.server, one.postgres);
        text(
            svg,
            "small",
            right + server + postgres + 6.0,
            base,
            &numbers,
        );
        row += ROW;
    }
}

/// How long the bar of a number is, when the longest is that of the most.
fn scaled(number: f64, most: f64) -> f64 {
    if most > 0.0 {
        LONGEST * number / most
    } else {
        0.0
    }
}

fn bar(svg: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64) {
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
    );
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let bar = |name: &str, rate, server| Bar {
            name: name.into(),
            rate,
            range: (rate * 0.9, rate),
            server,
            postgres: server,
        };
        Chart {
            title: "10 tenants".into(),
            bars: vec![
                bar("limit", 1000.0, 25.0),
                bar("slow & <sure>", 250.0, 100.0),
            ],
        }
    }

    /// The widths of what has the class.
    fn widths(svg: &str, class: &str) -> Vec<f64> {
        svg.lines()
            .filter(|line| line.starts_with(&format!("<rect class=\"{class}\"")))
            .map(|line| {
                let (_, rest) = line.split_once("width=\"").unwrap();
                rest.split_once('"').unwrap().0.parse().unwrap()
            })
            .collect()
    }

    #[test]
    fn bars_are_as_long_as_their_numbers() {
        let svg = svg(&[chart()], "");
        assert_eq!(widths(&svg, "rate"), [LONGEST, 67.5]);
        // the first is what the colour means
        assert_eq!(widths(&svg, "server"), [10.0, 33.8, LONGEST / 2.0]);
        assert_eq!(widths(&svg, "postgres"), [10.0, 33.8, LONGEST / 2.0]);
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let svg = svg(&[chart()], "- 2 cores (A & B)");
        assert!(svg.contains(">slow &amp; &lt;sure&gt;</text>"), "{svg}");
        assert!(svg.contains(">2 cores (A &amp; B)</text>"), "{svg}");
    }

    #[test]
    fn all_of_it_is_inside() {
        let facts = "- one\n- two";
        let svg = svg(&[chart(), chart()], facts);
        let number = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse::<f64>().unwrap()
        };
        let height = number(&svg, "height");
        for line in svg.lines().filter(|line| line.starts_with("<text")) {
            assert!(number(line, "y") < height, "{line} of {height}");
            assert!(number(line, "x") < WIDTH, "{line}");
        }
    }
}
