"""What is said of a channel where it is shown."""

from jina.net.channel import ChannelSettings


def test_the_key_is_not_shown():
    shown = repr(ChannelSettings(max_message_size=5, api_key="secret"))
    assert "secret" not in shown
    assert shown.startswith("ChannelSettings(max_message_size=5, use_proxy=False, ")
