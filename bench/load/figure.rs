//! Single figures that belong to no case of the matrix.

/// A figure, and what it is of.
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
}

/// All of them, in the order of the table.
#[derive(Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    /// Notes one, and says so to who waits.
    pub fn add(&mut self, name: &'static str, value: f64, unit: &'static str) {
        println!("{name}: {value:.2} {unit}");
        self.0.push(Figure { name, value, unit });
    }

    /// One of them, if it was measured.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}
