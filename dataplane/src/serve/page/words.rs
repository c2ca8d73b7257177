//! What the pages say, in the languages we have.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// The texts of all pages in one language. They are HTML: no `<` or `&` of
/// their own.
pub(in crate::serve) struct Words {
    pub(super) language: &'static str,
    pub(super) not_found_title: &'static str,
    pub(super) not_found: &'static str,
    pub(super) front_title: &'static str,
    pub(super) front: &'static str,
    pub(super) withdraw_title: &'static str,
    pub(super) withdraw: &'static str,
    pub(super) withdraw_button: &'static str,
    pub(super) withdrawn_title: &'static str,
    pub(super) withdrawn: &'static str,
}

/// Most entries of `Accept-Language` looked at.
const WISHES_MAX: usize = 16;

static ENGLISH: Words = Words {
    language: "en",
    not_found_title: "This link leads nowhere",
    not_found: "The link is incomplete or was changed on its way. Please open it from the message again.",
    front_title: "Links in e-mail",
    front: "This host serves links and images of e-mail messages. There is nothing to see here.",
    withdraw_title: "Stop tracking?",
    withdraw: "From then on it is no longer recorded when you open messages of this sender or follow their links. The links go on working.",
    withdraw_button: "Stop tracking",
    withdrawn_title: "Tracking has stopped",
    withdrawn: "Opens and clicks of yours are no longer recorded for this sender. You can close this page.",
};

static GERMAN: Words = Words {
    language: "de",
    not_found_title: "Dieser Link führt nirgendwohin",
    not_found: "Der Link ist unvollständig oder wurde unterwegs verändert. Bitte öffnen Sie ihn noch einmal aus der Nachricht.",
    front_title: "Links in E-Mails",
    front: "Dieser Host liefert Links und Bilder von E-Mails aus. Hier gibt es nichts zu sehen.",
    withdraw_title: "Nachverfolgung beenden?",
    withdraw: "Danach wird nicht mehr erfasst, wenn Sie Nachrichten dieses Absenders öffnen oder deren Links folgen. Die Links funktionieren weiterhin.",
    withdraw_button: "Nachverfolgung beenden",
    withdrawn_title: "Die Nachverfolgung ist beendet",
    withdrawn: "Ihre Öffnungen und Klicks werden für diesen Absender nicht mehr erfasst. Sie können diese Seite schließen.",
};

static FRENCH: Words = Words {
    language: "fr",
    not_found_title: "Ce lien ne mène nulle part",
    not_found: "Le lien est incomplet ou a été modifié en chemin. Veuillez l’ouvrir à nouveau depuis le message.",
    front_title: "Liens dans les e-mails",
    front: "Cet hôte fournit des liens et des images d’e-mails. Il n’y a rien à voir ici.",
    withdraw_title: "Arrêter le suivi ?",
    withdraw: "Ensuite, il ne sera plus enregistré quand vous ouvrez les messages de cet expéditeur ou suivez leurs liens. Les liens continuent de fonctionner.",
    withdraw_button: "Arrêter le suivi",
    withdrawn_title: "Le suivi est arrêté",
    withdrawn: "Vos ouvertures et vos clics ne sont plus enregistrés pour cet expéditeur. Vous pouvez fermer cette page.",
};

static SPANISH: Words = Words {
    language: "es",
    not_found_title: "Este enlace no lleva a ninguna parte",
    not_found: "El enlace está incompleto o se modificó por el camino. Ábralo de nuevo desde el mensaje.",
    front_title: "Enlaces en correos electrónicos",
    front: "Este servidor ofrece enlaces e imágenes de correos electrónicos. Aquí no hay nada que ver.",
    withdraw_title: "¿Dejar de registrar?",
    withdraw: "A partir de entonces ya no se registrará si abre mensajes de este remitente o sigue sus enlaces. Los enlaces seguirán funcionando.",
    withdraw_button: "Dejar de registrar",
    withdrawn_title: "Ya no se registra nada",
    withdrawn: "Sus aperturas y clics ya no se registran para este remitente. Puede cerrar esta página.",
};

static ITALIAN: Words = Words {
    language: "it",
    not_found_title: "Questo link non porta da nessuna parte",
    not_found: "Il link è incompleto o è stato modificato lungo il percorso. Aprilo di nuovo dal messaggio.",
    front_title: "Link nelle e-mail",
    front: "Questo host fornisce link e immagini di messaggi e-mail. Qui non c’è nulla da vedere.",
    withdraw_title: "Interrompere il tracciamento?",
    withdraw: "Da quel momento non verrà più registrato quando apri i messaggi di questo mittente o ne segui i link. I link continuano a funzionare.",
    withdraw_button: "Interrompi il tracciamento",
    withdrawn_title: "Il tracciamento è interrotto",
    withdrawn: "Le tue aperture e i tuoi clic non vengono più registrati per questo mittente. Puoi chiudere questa pagina.",
};

static DUTCH: Words = Words {
    language: "nl",
    not_found_title: "Deze link leidt nergens heen",
    not_found: "De link is onvolledig of onderweg gewijzigd. Open hem opnieuw vanuit het bericht.",
    front_title: "Links in e-mail",
    front: "Deze host levert links en afbeeldingen van e-mailberichten. Hier is niets te zien.",
    withdraw_title: "Stoppen met volgen?",
    withdraw: "Vanaf dan wordt niet meer vastgelegd wanneer u berichten van deze afzender opent of hun links volgt. De links blijven werken.",
    withdraw_button: "Stoppen met volgen",
    withdrawn_title: "Het volgen is gestopt",
    withdrawn: "Uw openingen en klikken worden voor deze afzender niet meer vastgelegd. U kunt deze pagina sluiten.",
};

/// Every language, English first.
pub(super) static ALL: [&Words; 6] = [&ENGLISH, &GERMAN, &FRENCH, &SPANISH, &ITALIAN, &DUTCH];

impl Words {
    /// In the language that the reader likes best of those we have (RFC 9110,
    /// 12.5.4), else in English.
    pub(in crate::serve) fn for_reader(headers: &HeaderMap) -> &'static Self {
        let wish = headers.get(ACCEPT_LANGUAGE);
        for_reader(wish.and_then(|wish| wish.to_str().ok()))
    }
}

pub(super) fn for_reader(accept_language: Option<&str>) -> &'static Words {
    let wishes = accept_language.unwrap_or_default().split(',');
    let mut best: (f32, &'static Words) = (0.0, &ENGLISH);
    for wish in wishes.take(WISHES_MAX) {
        let mut parts = wish.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let primary = tag.split('-').next().unwrap_or_default();
        let weight = parts
            .find_map(|p| p.trim().strip_prefix("q="))
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let known = ALL
            .iter()
            .find(|words| words.language.eq_ignore_ascii_case(primary));
        if let Some(words) = known
            && weight > best.0
        {
            best = (weight, words);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_gets_the_language_they_like_best_of_ours() {
        let check = |wish, expected| {
            assert_eq!(for_reader(wish).language, expected, "{wish:?}");
        };
        check(None, "en");
        check(Some(""), "en");
        check(Some("de-AT,de;q=0.9,en;q=0.8"), "de");
        check(Some("sv, fr;q=0.5, en;q=0.3"), "fr");
        check(Some("en;q=0.1,NL;q=0.2"), "nl");
        check(Some("de;q=0"), "en");
        check(Some("de;q=x,;;,"), "en");
    }
}
