//! What an application writes next: where, of which kind, with which payload and options.

use batpak::coordinate::Coordinate;
use batpak::event::EventKind;
use batpak::id::{CausationId, CorrelationId, IdempotencyKey};
use batpak::store::{AppendOptions, AppendPositionHint, ExtensionKey};

use crate::payloads::{everyday, odd, ODD_KINDS};
use crate::session::{coordinate, Session, CANCELLED_SCOPE};

impl Session<'_> {
    pub fn coordinate(&mut self) -> Coordinate {
        let number = self.chance.below(self.mix.entities.max(1));
        let family = self.chance.pick(&["order", "order", "cart"]);
        let scope = self.chance.pick(&["shop:web", "shop:web", "shop:app"]);
        let scope = if self.doomed { CANCELLED_SCOPE } else { scope };
        if self.mix.names > 0 && self.chance.percent(self.mix.names) {
            let scope = if self.doomed { scope.to_owned() } else { self.odd_name() };
            return coordinate(&self.odd_name(), &scope);
        }
        coordinate(&format!("{family}:{number}"), scope)
    }

    /// Every kind of name that the engine takes and a table, a query or a file may trip over.
    fn odd_name(&mut self) -> String {
        let longest = "n".repeat(1024);
        let wide = "日".repeat(341);
        let names = [
            "order", "order:", ":order", "order:1:2", "ORDER:1", " order:1", "order:1 ", "e\u{301}", "é", "日本:ü",
            "\u{10FFFF}", "\u{FEFF}order:1", "\u{2028}", "\u{85}", "\u{202E}rtl", "a,b", "\"q\"", "'", "\\", "%", "*",
            "null", "0", "-0", "nan", "batpak:store2", "_batch", "shop@web", "{}", "[0]", "a;b", "<b>", "$x", "`",
            &longest, &wide,
        ];
        self.chance.pick(&names).to_owned()
    }

    pub fn kind(&mut self) -> EventKind {
        let category = self.chance.pick(&[1, 1, 1, 2, 2, 0xF]);
        EventKind::custom(category, 1 + self.chance.below(4) as u16)
    }

    pub fn payload(&mut self) -> crate::value::Value {
        if self.chance.percent(self.mix.odd) {
            odd(self.chance.below(ODD_KINDS), self.chance)
        } else {
            everyday(self.chance)
        }
    }

    pub fn options(&mut self) -> AppendOptions {
        let mut options = AppendOptions::new();
        if self.chance.percent(self.mix.lanes) {
            options = options.with_position_hint(self.position());
        }
        if self.chance.percent(self.mix.flags) {
            options = options.with_flags(self.chance.pick(&[0x01, 0x02, 0x08, 0x0a, 0xff]));
        }
        if self.chance.percent(self.mix.extensions) {
            options = self.with_extensions(options);
        }
        if self.chance.percent(self.mix.keys) {
            options = options.with_idempotency(IdempotencyKey::from_u128(self.key()));
        }
        if self.chance.percent(self.mix.causes) {
            options = options.with_causation(CausationId::from_u128(self.cause()));
            if self.chance.percent(60) {
                options = options.with_correlation(CorrelationId::from_u128(self.cause()));
            }
        }
        options
    }

    fn position(&mut self) -> AppendPositionHint {
        let lane = self.chance.pick(&[0, 1, 2, 3, 5, u32::MAX]);
        let depth = self.chance.pick(&[0, 1, 2, 7, u32::MAX]);
        if self.chance.percent(20) {
            AppendPositionHint::branch_root(lane, depth)
        } else {
            AppendPositionHint::new(lane, depth)
        }
    }

    fn with_extensions(&mut self, mut options: AppendOptions) -> AppendOptions {
        for name in ["app.audit", "zz.trace", "app.A-very_odd+key"] {
            if self.chance.percent(50) {
                let size = self.chance.pick(&[0, 1, 6, 40]);
                let value = self.chance.bytes(size);
                if let Ok(key) = ExtensionKey::new(name) {
                    options = options.with_extension(key, value);
                }
            }
        }
        options
    }

    /// Mostly a new key; sometimes one used before, which the engine answers without writing.
    pub fn key(&mut self) -> u128 {
        if !self.keys.is_empty() && self.chance.percent(10) {
            return self.chance.pick(&self.keys);
        }
        let key = self.chance.wide();
        self.keys.push(key);
        key
    }

    /// Mostly an event of this store; sometimes an id that no event has.
    pub fn cause(&mut self) -> u128 {
        if self.known.is_empty() || self.chance.percent(10) {
            return self.chance.wide();
        }
        let recent = self.known.len().saturating_sub(20);
        self.known[recent + self.chance.below(self.known.len() - recent)]
    }
}
