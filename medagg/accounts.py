"""Accounts: the sign-up page. The other account pages are Django's views with our templates."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model, login
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.views import RedirectURLMixin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.generic import FormView

User = get_user_model()


class SignUpForm(BaseUserCreationForm):
    email = forms.EmailField(
        required=False,
        label="E-mail (optional)",
        help_text="Used to reset a forgotten password, and to tell you that a collection is ready "
        "when you ask for it.",
    )

    class Meta(BaseUserCreationForm.Meta):
        fields = ("username", "email")

    def clean_username(self) -> str:
        username = self.cleaned_data["username"]
        if User._default_manager.filter(username__iexact=username).exists():
            raise ValidationError("This user name is taken. Choose another one.")
        return username


class SignUpView(RedirectURLMixin, FormView):
    """Create an account and sign in; keeps ``next`` and the session."""

    template_name = "registration/signup.html"
    form_class = SignUpForm
    next_page = "collection-list"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        login(self.request, form.save())
        return HttpResponseRedirect(self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(next=self.get_redirect_url(), **kwargs)
