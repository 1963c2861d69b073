"""A form for any page of any site: plain HTML that leads to our own, with honest words about what will be sent.

It holds no script and loads nothing; the address is posted, so that it stands in no log of addresses.
"""

from markupsafe import Markup

from milepost.settings import Settings
from newsletter.words.languages import direction, phrases_for
from web.public.subscribe import TRAP

_FORM = Markup('''<form method="post" action="{action}" lang="{language}" dir="{direction}">
  <p><strong>{title}</strong></p>
  <p>{hint}</p>
  <p><label>{label} <input type="email" name="email" dir="ltr" autocomplete="email" required></label></p>
  <p style="position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%)" aria-hidden="true">
    <label>{leave} <input type="text" name="{trap}" tabindex="-1" autocomplete="off"></label>
  </p>
  <input type="hidden" name="source" value="embed">
  <p><button type="submit">{press}</button></p>
</form>
''')


def form(settings: Settings) -> str:
    """The form, in the newsletter's language."""
    letter = settings.newsletter
    phrases = phrases_for(letter.language)
    return str(_FORM.format(
        action=f"{settings.web.base_url}/subscribe", language=letter.language, direction=direction(letter.language),
        title=phrases.subscribe_to.format(name=letter.name), label=phrases.your_address,
        hint=f"{phrases.embed_next} {phrases.subscribe_hint}",
        leave=phrases.trap, trap=TRAP, press=phrases.subscribe,
    ))
